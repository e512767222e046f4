"""Translation by attention alone.

Paper: Vaswani et al. 2017, Attention is all you need, arXiv 1706.03762. It left out recurrence:
every position looks at all others at once, in an encoder of self-attention and a decoder that looks
at its own past and at the encoder. One matrix embeds the source, embeds the target and gives the
output; embeddings are multiplied by sqrt(D).

    preset              D      layers   heads   feed-forward   dropout
    transformer_base    512    6        8       2048           0.1       65 million in table 3
    transformer_big     1024   6        16      4096           0.3       213 million in table 3
    transformer_small   256    3        4       512            0.1       ours: short sentences, CPU

The paper counts its shared vocabulary as about 37,000 tokens, and so do the first two presets; its
rounded totals differ by what that number hides. Post-norm, as published: x = norm(x + sublayer(x)).
Dropout is on each sublayer's output and on the embeddings (section 5.4), and nowhere else.

Legend: B batch, S source time, T target time, D features, V vocabulary, d = D / heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.base import Translator
from networks.blocks.attention import KeysValues, MultiHeadAttention, causal_mask
from networks.blocks.positions import POSITIONS, position_vectors
from networks.space import choice

Encoded = tuple[Tensor, tuple[KeysValues, ...]]
"""Where the decoder may look, bool [B, 1, 1, S], and what each of its layers finds there."""
State = tuple[KeysValues, ...]
"""What each decoder layer keeps of the target so far."""


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the network."""

    vocabulary: int = 37_000
    """V, tokens of source and target together."""
    width: int = choice(512, (128, 192, 256, 512))
    """D, features of a token; a multiple of the heads."""
    layers: int = choice(6, (2, 3, 4, 6))
    """Layers of the encoder, and as many of the decoder."""
    heads: int = choice(8, (2, 4, 8))
    """Attention heads, which share D evenly."""
    feed_forward: int = choice(2048, (256, 512, 1024, 2048))
    """Units between the two matrices of the position-wise network."""
    dropout: float = choice(0.1, (0.0, 0.1, 0.3))
    """Share of features dropped from every sublayer and from the embeddings."""
    positions: str = choice("sinusoid", POSITIONS)
    """sinusoid or learned; the paper found no difference (table 3, row E)."""
    context_length: int = 1024
    """Longest sequence of learned positions; sinusoids have no limit."""


PRESETS = {
    "transformer_base": TransformerConfig(),
    "transformer_big": TransformerConfig(width=1024, heads=16, feed_forward=4096, dropout=0.3),
    "transformer_small": TransformerConfig(
        vocabulary=8000, width=256, layers=3, heads=4, feed_forward=512
    ),
}


class _Residual(nn.Module):
    """What a sublayer computed, added to what it was given, and normalised."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, features: Tensor, computed: Tensor) -> Tensor:
        normed: Tensor = self.norm(features + self.dropout(computed))
        return normed


def _feed_forward(config: TransformerConfig) -> nn.Module:
    """The same two-layer network at every position (section 3.3)."""
    return nn.Sequential(
        nn.Linear(config.width, config.feed_forward),
        nn.ReLU(),
        nn.Linear(config.feed_forward, config.width),
    )


class EncoderLayer(nn.Module):
    """Every source position looks at all of the source."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(config.width, config.heads)
        self.after_attention = _Residual(config)
        self.feed_forward = _feed_forward(config)
        self.after_feed_forward = _Residual(config)

    def forward(self, features: Tensor, attend: Tensor) -> Tensor:
        """[B, S, D] to [B, S, D]; `attend`, bool [B, 1, 1, S], is false at padding."""
        found = self.attention(features, self.attention.remember(features), attend)
        features = self.after_attention(features, found)
        normed: Tensor = self.after_feed_forward(features, self.feed_forward(features))
        return normed


class DecoderLayer(nn.Module):
    """Every target position looks at the target up to itself, then at all of the source."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(config.width, config.heads)
        self.after_attention = _Residual(config)
        self.source_attention = MultiHeadAttention(config.width, config.heads)
        self.after_source = _Residual(config)
        self.feed_forward = _feed_forward(config)
        self.after_feed_forward = _Residual(config)

    def look_back(
        self, features: Tensor, past: KeysValues | None, causal: Tensor
    ) -> tuple[Tensor, KeysValues]:
        """The first sublayer: [B, T, D] to [B, T, D], and keys and values of past and present."""
        kept = self.attention.remember(features)  # [B, heads, T, d]
        if past is not None:
            kept = torch.cat((past[0], kept[0]), dim=2), torch.cat((past[1], kept[1]), dim=2)
        return self.after_attention(features, self.attention(features, kept, causal)), kept

    def forward(
        self,
        features: Tensor,
        past: KeysValues | None,
        causal: Tensor,
        source: KeysValues,
        attend: Tensor,
    ) -> tuple[Tensor, KeysValues]:
        """[B, T, D] to [B, T, D], and what to give as `past` when the target goes on.

        Args:
            features: the target's new positions.
            past: keys and values of its earlier ones; None at the beginning.
            causal: who may look at whom in the target, bool [T, past + T].
            source: keys and values of the source.
            attend: bool [B, 1, 1, S], false at padding.
        """
        features, kept = self.look_back(features, past, causal)
        found = self.source_attention(features, source, attend)
        features = self.after_source(features, found)
        return self.after_feed_forward(features, self.feed_forward(features)), kept


class Transformer(Translator):
    """Encoder and decoder. Target padding must stand behind the target, where nothing looks."""

    encoder: Sequence[EncoderLayer]
    decoder: Sequence[DecoderLayer]

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.scale = math.sqrt(config.width)
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.positions = position_vectors(config.positions, config.width, config.context_length)
        self.dropout = nn.Dropout(config.dropout)
        encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.encoder = encoder  # type: ignore[assignment]  # a ModuleList forgets of what
        self.decoder = decoder  # type: ignore[assignment]
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)

    def embed(self, tokens: Tensor, past: int = 0) -> Tensor:
        """Tokens [B, T] that follow `past` earlier ones, with their positions: [B, T, D]."""
        scaled = self.embedding(tokens) * self.scale
        embedded: Tensor = self.dropout(scaled + self.positions(tokens, past))
        return embedded

    def encode(self, source: Tensor, attend: Tensor) -> Encoded:
        """What the decoder needs of the source, int64 [B, S]; `attend` is false at padding."""
        mask = attend[:, None, None, :]  # [B, 1, 1, S]
        features = self.embed(source)  # [B, S, D]
        for layer in self.encoder:
            features = layer(features, mask)
        return mask, tuple(layer.source_attention.remember(features) for layer in self.decoder)

    def decode(self, encoded: Encoded, target: Tensor) -> Tensor:
        """Logits of the tokens that follow each of `target` [B, T]: [B, T, V]."""
        return self.extend(encoded, target)[0]

    def extend(
        self, encoded: Encoded, tokens: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """`decode` in pieces: logits [B, T, V] after the next tokens [B, T], and the new state.

        `state` is what the last call returned; None at the beginning of the target.
        """
        mask, sources = encoded
        past = 0 if state is None else state[0][0].shape[2]
        causal = causal_mask(tokens.shape[1], past, tokens.device)
        features = self.embed(tokens, past)  # [B, T, D]
        kept = []
        for i, layer in enumerate(self.decoder):
            seen = None if state is None else state[i]
            features, seen = layer(features, seen, causal, sources[i], mask)
            kept.append(seen)
        return F.linear(features, self.embedding.weight), tuple(kept)

    @torch.no_grad()
    def attention_map(self, source: Tensor, attend: Tensor, target: Tensor) -> Tensor:
        """Mean over the heads of the last decoder layer but one, [B, T, S].

        That layer's heads align words best (Garg et al. 2019, arXiv 1909.02074).
        """
        mask, sources = self.encode(source, attend)
        causal = causal_mask(target.shape[1], device=target.device)
        features = self.embed(target)
        shown = max(len(self.decoder) - 2, 0)
        for i in range(shown):
            features, _ = self.decoder[i](features, None, causal, sources[i], mask)
        layer = self.decoder[shown]
        features, _ = layer.look_back(features, None, causal)
        weights: Tensor = layer.source_attention.weights(features, sources[shown], mask)
        return weights.mean(dim=1)


def build(config: TransformerConfig) -> nn.Module:
    """The translator of a config."""
    return Transformer(config)
