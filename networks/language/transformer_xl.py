"""Transformer-XL: a language model that remembers what it computed of the tokens before its own.

Paper: Dai et al. 2019, Transformer-XL: Attentive language models beyond a fixed-length context,
arXiv 1901.02860. A text is read in segments. Each layer looks at its own segment and at the kept
inputs that it had in earlier ones, through which no gradient flows. So that a place in the memory
means the same in every segment, positions are told by distance: the score of query i and key j is

    A_ij = (q_i + u) . k_j + (q_i + v) . W_R R_{i-j}                    (section 3.3)

with R a sinusoid of the distance and u, v learned for each layer.

    preset                  D     layers   heads     parameters     result in the paper
    transformer_xl_enwik8   512   12       8 x 64    41,066,700     1.06 bits per character, enwik8
    transformer_xl_wt103    410   16       10 x 41   151,119,838    perplexity 24.0, WikiText-103

Of large vocabularies the tokens are in groups (adaptive softmax, Grave et al. 2017, arXiv
1609.04309): the first group's scores stand beside one for each other group. All tokens have vectors
of the same width, which the input and the output share.

Deviation: none of the authors' program; the port in pytorch-transformers begins with a memory of
zeros, which take a share of the attention, where this one begins empty.

Legend: B batch, T tokens of a segment, M tokens kept, S = M + T, D features, H heads of d features,
V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.base import LanguageModel
from networks.blocks.attention import merge_heads, split_heads
from networks.space import choice

Memory = tuple[Tensor, ...]
"""What each layer was given for the last tokens, [B, M, D] each; no gradient flows into it."""


@dataclass(frozen=True)
class TransformerXLConfig:
    """Sizes of the network."""

    vocabulary: int = 204
    """V, number of tokens."""
    width: int = choice(512, (64, 128, 256, 512))
    """D, features of a token."""
    layers: int = choice(12, (2, 4, 8, 12))
    """Blocks of attention and feed-forward network."""
    heads: int = choice(8, (2, 4, 8))
    """H."""
    head_width: int = choice(64, (16, 32, 64))
    """d."""
    inner: int = choice(2048, (256, 512, 1024, 2048))
    """Units of the feed-forward network."""
    memory_length: int = choice(512, (0, 64, 128, 256, 512))
    """M at most."""
    dropout: float = choice(0.1, (0.0, 0.1, 0.2))
    """Share dropped of embeddings, positions and what each sublayer computed."""
    attention_dropout: float = choice(0.0, (0.0, 0.1))
    """Share dropped of attention weights."""
    cutoffs: tuple[int, ...] | None = None
    """First tokens of the further groups of the adaptive softmax; none for one group."""


PRESETS = {
    "transformer_xl_enwik8": TransformerXLConfig(),
    "transformer_xl_wt103": TransformerXLConfig(
        vocabulary=267_735, width=410, layers=16, heads=10, head_width=41, inner=2100,
        memory_length=150, cutoffs=(20_000, 40_000, 200_000),
    ),
    "transformer_xl_tiny": TransformerXLConfig(
        width=128, layers=4, heads=4, head_width=32, inner=512, memory_length=128, dropout=0.0
    ),
}  # fmt: skip


def distance_vectors(count: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sinusoids of the distances count - 1 down to 0, all sines before all cosines,
    float32 [count, width]."""
    distances = torch.arange(count - 1, -1, -1, device=device)
    even = torch.arange(0, width, 2, device=device)
    angles = distances[:, None] * torch.exp(-math.log(10_000.0) / width * even)
    return torch.cat((angles.sin(), angles.cos()), dim=1)[:, :width]


def shift(scores: Tensor) -> Tensor:
    """From columns by distance to columns by key.

    Args:
        scores: [B, H, T, S] of T queries, the last of S positions, and distances S - 1 to 0.

    Returns:
        [B, H, T, S]: at (i, j) the score of the distance from query i to key j; what it has at
        keys after the query means nothing.
    """
    batch, heads, queries, keys = scores.shape
    padded = F.pad(scores, (1, 0)).view(batch, heads, keys + 1, queries)
    return padded[:, :, 1:].reshape(batch, heads, queries, keys)


class RelativeAttention(nn.Module):
    """Attention to a segment and a memory, by content and distance."""

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__()
        heads, width = config.heads, config.heads * config.head_width
        self.heads = heads
        self.projection = nn.Linear(config.width, 3 * width, bias=False)
        self.distance = nn.Linear(config.width, width, bias=False)
        self.output = nn.Linear(width, config.width, bias=False)
        self.content_bias = nn.Parameter(torch.empty(heads, config.head_width))
        self.distance_bias = nn.Parameter(torch.empty(heads, config.head_width))
        self.dropout = nn.Dropout(config.attention_dropout)

    def forward(self, x: Tensor, memory: Tensor, vectors: Tensor, mask: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D].

        Args:
            x: the segment.
            memory: [B, M, D].
            vectors: of the distances S - 1 to 0, [S, D].
            mask: bool [T, S], true where one may look.
        """
        time = x.shape[1]
        parts = self.projection(torch.cat((memory, x), dim=1)).chunk(3, dim=-1)
        query, key, value = (split_heads(part, self.heads) for part in parts)  # [B, H, S, d]
        query = query[:, :, -time:]
        distance = split_heads(self.distance(vectors)[None], self.heads)  # [1, H, S, d]
        by_content = (query + self.content_bias[:, None]) @ key.transpose(2, 3)  # [B, H, T, S]
        by_distance = (query + self.distance_bias[:, None]) @ distance.transpose(2, 3)
        scores = (by_content + shift(by_distance)) / math.sqrt(query.shape[-1])
        weights = self.dropout(scores.masked_fill(~mask, float("-inf")).softmax(dim=-1))
        found: Tensor = self.output(merge_heads(weights @ value))
        return found


class Block(nn.Module):
    """x = norm(x + attention(x)), then x = norm(x + feed_forward(x))"""

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__()
        self.attention = RelativeAttention(config)
        self.norm1 = nn.LayerNorm(config.width)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.width, config.inner),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.inner, config.width),
        )
        self.norm2 = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, memory: Tensor, vectors: Tensor, mask: Tensor) -> Tensor:
        """Takes and returns what `RelativeAttention` does."""
        x = self.norm1(x + self.dropout(self.attention(x, memory, vectors, mask)))
        x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x


class TransformerXL(LanguageModel):
    """Embedding, blocks with memories, and the embedding once more as output."""

    context_length = None

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__()
        self.config = config
        self.cutoffs = [cutoff for cutoff in config.cutoffs or () if cutoff < config.vocabulary]
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.groups = nn.Linear(config.width, len(self.cutoffs)) if self.cutoffs else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
            elif not name.endswith("weight"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor, state: Memory | None = None) -> tuple[Tensor, Memory]:
        """Logits of the next tokens, [B, T, V], and the memory after the segment.

        Args:
            tokens: int64 [B, T].
            state: what the last call returned; None at the beginning.
        """
        config = self.config
        x = self.embedding(tokens) * math.sqrt(config.width)  # [B, T, D]
        if state is None:
            state = (x.new_zeros(len(tokens), 0, config.width),) * config.layers
        time, past = tokens.shape[1], state[0].shape[1]
        vectors = distance_vectors(past + time, config.width, tokens.device).to(x.dtype)
        ones = torch.ones(time, past + time, dtype=torch.bool, device=tokens.device)
        mask = ones.tril(past)
        x, vectors = self.dropout(x), self.dropout(vectors)
        kept = []
        for block, memory in zip(self.blocks, state, strict=True):
            seen = torch.cat((memory, x.detach()), dim=1)  # [B, S, D]
            kept.append(seen[:, max(0, past + time - config.memory_length) :])
            x = block(x, memory, vectors, mask)
        return self._logits(self.dropout(x)), tuple(kept)

    def _logits(self, x: Tensor) -> Tensor:
        """[B, T, D] to logits [B, T, V]; with groups these are logarithms of probabilities."""
        if self.groups is None:
            return F.linear(x, self.embedding.weight, self.bias)
        ends = [*self.cutoffs, self.config.vocabulary]
        parts = [
            F.linear(x, self.embedding.weight[first:last], self.bias[first:last])
            for first, last in zip([0, *ends[:-1]], ends, strict=True)
        ]
        head = torch.cat((parts[0], self.groups(x)), dim=-1).log_softmax(dim=-1)
        tails = [
            part.log_softmax(dim=-1) + head[..., ends[0] + number, None]
            for number, part in enumerate(parts[1:])
        ]
        return torch.cat((head[..., : ends[0]], *tails), dim=-1)


def build(config: TransformerXLConfig) -> nn.Module:
    """The language model of a config."""
    return TransformerXL(config)


NAMES: dict[str, str | None] = {
    "transformer.word_emb.emb_layers.0.weight": "embedding.weight",
    "transformer.pos_emb.inv_freq": None,  # constants
    "crit.out_layers.0.weight": None,  # the embedding once more
    "crit.out_layers.0.bias": "bias",
    "crit.cluster_weight": "groups.weight",
    "crit.cluster_bias": "groups.bias",
    "dec_attn.qkv_net.weight": "attention.projection.weight",
    "dec_attn.r_net.weight": "attention.distance.weight",
    "dec_attn.o_net.weight": "attention.output.weight",
    "dec_attn.r_w_bias": "attention.content_bias",
    "dec_attn.r_r_bias": "attention.distance_bias",
    "dec_attn.layer_norm.weight": "norm1.weight",
    "dec_attn.layer_norm.bias": "norm1.bias",
    "pos_ff.CoreNet.0.weight": "feed_forward.0.weight",
    "pos_ff.CoreNet.0.bias": "feed_forward.0.bias",
    "pos_ff.CoreNet.3.weight": "feed_forward.3.weight",
    "pos_ff.CoreNet.3.bias": "feed_forward.3.bias",
    "pos_ff.layer_norm.weight": "norm2.weight",
    "pos_ff.layer_norm.bias": "norm2.bias",
}
"""Tensors by their names in pytorch-transformers, those of a block without its number; and ours."""


def rename(name: str) -> str | None:
    """From the official name of a tensor to ours."""
    if not name.startswith("transformer.layers."):
        return NAMES.get(name, name)
    number, _, inner = name.removeprefix("transformer.layers.").partition(".")
    return f"blocks.{number}.{NAMES.get(inner, inner)}"
