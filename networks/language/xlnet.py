"""XLNet: every token from any set of the others, in one pass for each order of the text.

Paper: Yang, Dai, Yang, Carbonell, Salakhutdinov & Le 2019, XLNet: Generalized autoregressive
pretraining for language understanding, arXiv 1906.08237. A text is predicted token by token, as a
language model does, but in a random order, so that both sides are seen and no mask token is: what
comes later in the order is neither seen nor replaced. Two streams of features (section 2.3):

    content   h_i knows the token at i and those before it in the order
    query     g_i knows where i is and what comes before it in the order, not its own token

Both look at the content of others by the same weights; predictions are read from the query stream.
Of a text a part, last in the order, is predicted; the rest sees itself whole (partial prediction).
Attention goes by distance as in Transformer-XL, in both directions, with a memory; whether two
positions are of the same segment adds a score of its own (blocks/relative_attention.py).

    preset        D      layers   heads     parameters     vocabulary
    xlnet_base    768    12       12 x 64   116,750,336    32,000, those of xlnet-base-cased
    xlnet_large   1024   24       16 x 64   360,300,800    32,000, those of xlnet-large-cased
    xlnet_tiny    128    4        4 x 32    869,842        82, ours: trains on a CPU

One matrix embeds and gives the output; GELU is the exact form, norms have epsilon 1e-12.

Deviation: a prediction that may look at nothing finds zeros; the authors' program lets it look at
all, itself included.

Legend: B batch, T tokens, S kept tokens and T, Q positions that ask, M hidden tokens, D features,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from core.learner import load_weights
from networks.base import MaskedLanguageModel, TextClassifier
from networks.blocks.relative_attention import EPSILON, RelativeAttention, distance_vectors
from networks.space import choice

Memory = tuple[Tensor, ...]
"""What each layer was given for earlier tokens, [B, S, D] each; no gradient flows into it."""


@dataclass(frozen=True)
class XLNetConfig:
    """Sizes of the network."""

    vocabulary: int = 32_000
    """V, number of tokens. The last one stands where a token is hidden; it is never looked at."""
    width: int = choice(768, (64, 128, 256, 768))
    """D, features of a token; even."""
    layers: int = choice(12, (2, 4, 6, 12))
    """Blocks of attention and feed-forward network."""
    heads: int = choice(12, (2, 4, 8, 12))
    """H."""
    head_width: int = choice(64, (16, 32, 64))
    """d."""
    inner: int = choice(3072, (256, 512, 1024, 3072))
    """Units of the feed-forward network."""
    dropout: float = choice(0.1, (0.0, 0.1, 0.2))
    """Share dropped of embeddings, distances, attention weights and what each sublayer computed."""
    init_std: float = 0.02
    """Of the first weights. A narrower network needs more: 0.02 sqrt(768 / D)."""


PRESETS = {
    "xlnet_base": XLNetConfig(),
    "xlnet_large": XLNetConfig(width=1024, layers=24, heads=16, inner=4096),
    "xlnet_tiny": XLNetConfig(
        vocabulary=82, width=128, layers=4, heads=4, head_width=32, inner=512, dropout=0.0,
        init_std=0.05,
    ),
}  # fmt: skip


def visible(ranks: Tensor) -> Tensor:
    """Who may look at whom: at all of rank 0, and at lower ranks than one's own.

    Args:
        ranks: places in the order of prediction, int64 [B, T]; 0 for what is known beforehand.

    Returns:
        bool [B, T, T], true where the first position may look at the second.
    """
    return (ranks[:, None] < ranks[:, :, None]) | (ranks == 0)[:, None]


class FeedForward(nn.Module):
    """Two layers at every position, added to their input, and normalised."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.width, config.inner)
        self.output = nn.Linear(config.inner, config.width)
        self.norm = nn.LayerNorm(config.width, EPSILON)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, Q, D] to [B, Q, D]."""
        made = self.output(self.dropout(F.gelu(self.inner(x))))
        normalised: Tensor = self.norm(x + self.dropout(made))
        return normalised


class XLNet(MaskedLanguageModel):
    """Embedding, blocks of two streams, and the embedding once more as output."""

    context_length = None

    def __init__(self, config: XLNetConfig) -> None:
        """Raises UserError for an odd width."""
        super().__init__()
        self.config = config
        if config.width % 2:
            raise UserError(f"distances need an even width, got {config.width}")
        self.hidden_token = config.vocabulary - 1
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.unknown = nn.Parameter(torch.empty(1, 1, config.width))  # where each query begins
        self.attention = nn.ModuleList(RelativeAttention(config) for _ in range(config.layers))
        self.feed_forward = nn.ModuleList(FeedForward(config) for _ in range(config.layers))
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.dropout = nn.Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and not name.endswith("_bias"):
                nn.init.normal_(parameter, std=config.init_std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def streams(
        self,
        tokens: Tensor,
        sees: Tensor,
        targets: Tensor,
        segments: Tensor | None = None,
        memory: Memory | None = None,
    ) -> tuple[Tensor, Tensor, Memory]:
        """Both streams after all blocks.

        Args:
            tokens: int64 [B, T].
            sees: bool [B, T, T], true where a position may look; its own content only the content
                stream sees, whatever this says.
            targets: positions of the query stream, int64 [B, Q].
            segments: int64 [B, T], 0 for what the memory is of; None where there is one only.
            memory: what the last call returned; all may look at it.

        Returns:
            Content [B, T, D], queries [B, Q, D], and what each layer was given, [B, S, D].
        """
        (batch, time), device = tokens.shape, tokens.device
        past = 0 if memory is None else memory[0].shape[1]
        places = torch.arange(past + time, device=device)
        own = torch.eye(time, dtype=torch.bool, device=device)
        masks = [F.pad(mask, (past, 0), value=True) for mask in (sees | own, sees & ~own)]
        content = self.dropout(self.embedding(tokens))  # [B, T, D]
        query = self.dropout(self.unknown.expand(batch, targets.shape[1], -1))  # [B, Q, D]
        vectors = distance_vectors(past + time, 1 - time, content.shape[2], device)
        vectors = self.dropout(vectors.to(content.dtype))
        # The first vector is that of distance S; the distance to key j is past + i - j.
        distances = (time + places - places[past:, None] + past).expand(batch, -1, -1)  # [B, T, S]
        elsewhere = None
        if segments is not None:
            elsewhere = segments[:, :, None] != F.pad(segments, (past, 0))[:, None]
        rows = targets[:, :, None].expand(-1, -1, past + time)
        at, mask = distances.gather(1, rows), masks[1].gather(1, rows)
        differ = None if elsewhere is None else elsewhere.gather(1, rows)
        given = []
        for n, (attention, feed_forward) in enumerate(self._blocks()):
            seen = content if memory is None else torch.cat((memory[n], content), dim=1)
            given.append(seen.detach())
            kept = attention.remember(seen, vectors)
            content = feed_forward(attention(content, kept, distances, masks[0], elsewhere))
            query = feed_forward(attention(query, kept, at, mask, differ))
        return content, query, tuple(given)

    def _blocks(self) -> list[tuple[RelativeAttention, FeedForward]]:
        pairs: Any = zip(self.attention, self.feed_forward, strict=True)
        return list(pairs)

    def logits(self, features: Tensor) -> Tensor:
        """[..., D] to [..., V]."""
        return F.linear(self.dropout(features), self.embedding.weight, self.bias)

    def forward(self, tokens: Tensor, attend: Tensor | None = None) -> Tensor:
        """Logits of every position, [B, T, V], from all other tokens that are not hidden.

        They are of use where a token is hidden: what the others know of one that is not, they tell.

        Args:
            tokens: int64 [B, T]; V - 1 where one is hidden.
            attend: bool [B, T], false at padding; None where there is none.
        """
        known = tokens != self.hidden_token
        known = known if attend is None else known & attend
        targets = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        return self.logits(self.streams(tokens, visible((~known).long()), targets)[1])

    def logits_of_hidden(self, seen: Tensor, tokens: Tensor, hidden: Tensor) -> Tensor:
        """Logits [M, V] of the hidden tokens, each from all that are not and from those hidden ones
        that come before it in a random order. Takes what `MaskedLanguageModel` does."""
        lots = torch.rand(tokens.shape).to(tokens.device).masked_fill(~hidden, -1.0)
        ranks = (1 + lots.argsort(dim=1).argsort(dim=1)).masked_fill(~hidden, 0)
        count = int(hidden.sum(dim=1).max())
        targets = hidden.byte().argsort(dim=1, descending=True, stable=True)[:, :count]
        chosen = hidden.gather(1, targets)  # texts with fewer hidden tokens ask for others too
        return self.logits(self.streams(tokens, visible(ranks), targets)[1][chosen])

    def build_classifier(self, num_classes: int) -> XLNetClassifier:
        """A classifier of texts of the same sizes, with fresh weights."""
        return XLNetClassifier(self.config, num_classes)


class XLNetClassifier(TextClassifier):
    """The content stream of a text that is known whole, a layer for its last position, and the
    output for K classes."""

    reads_last = True

    def __init__(self, config: XLNetConfig, num_classes: int) -> None:
        super().__init__()
        self.body = XLNet(config)
        self.pooler = nn.Linear(config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.width, num_classes)
        for layer in (self.pooler, self.output):
            nn.init.normal_(layer.weight, std=config.init_std)
            nn.init.zeros_(layer.bias)
        for unused in (self.body.unknown, self.body.bias):  # of predictions
            unused.requires_grad_(False)

    def forward(self, tokens: Tensor, attend: Tensor | None = None) -> Tensor:
        """Class logits [B, K]; texts end together, so that padding stands before them."""
        batch, time = tokens.shape
        attend = torch.ones_like(tokens, dtype=torch.bool) if attend is None else attend
        nothing = tokens.new_zeros(batch, 0)
        content = self.body.streams(tokens, attend[:, None].expand(-1, time, -1), nothing)[0]
        pooled = self.pooler(self.dropout(content)[:, -1]).tanh()
        logits: Tensor = self.output(self.dropout(pooled))
        return logits

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """All of `XLNet`'s."""
        load_weights(self.body, weights)


def build(config: XLNetConfig) -> nn.Module:
    """The masked language model of a config."""
    return XLNet(config)


NAMES = {
    "transformer.mask_emb": "unknown",
    "transformer.word_embedding.weight": "embedding.weight",
    "lm_loss.weight": None,  # the embedding once more
    "lm_loss.bias": "bias",
    "rel_attn.q": "attention.query",
    "rel_attn.k": "attention.key",
    "rel_attn.v": "attention.value",
    "rel_attn.o": "attention.output",
    "rel_attn.r": "attention.distance",
    "rel_attn.r_w_bias": "attention.content_bias",
    "rel_attn.r_r_bias": "attention.distance_bias",
    "rel_attn.r_s_bias": "attention.segment_bias",
    "rel_attn.seg_embed": "attention.segments",
}
"""Tensors by their names in transformers, those of a block without its number; and ours."""
LAYERS = {"rel_attn.layer_norm": "attention.norm", "ff.layer_norm": "feed_forward.norm",
          "ff.layer_1": "feed_forward.inner", "ff.layer_2": "feed_forward.output"}  # fmt: skip
"""Layers likewise."""


def rename(name: str) -> str | None:
    """From the official name of a tensor to ours."""
    if not name.startswith("transformer.layer."):
        return NAMES.get(name, name)
    number, _, inner = name.removeprefix("transformer.layer.").partition(".")
    layer, _, kind = inner.rpartition(".")
    ours = NAMES.get(inner) or f"{LAYERS.get(layer, layer)}.{kind}"
    part, _, rest = ours.partition(".")
    return f"{part}.{number}.{rest}"
