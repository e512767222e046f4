"""Reformer: attention to what hashes alike, and layers that can be run backwards.

Paper: Kitaev, Kaiser & Levskaya 2020, Reformer: The efficient Transformer, arXiv 2001.04451.

1. Attention to what falls into the same buckets (blocks/chunked_attention.py), in T log T steps.
2. Layers are reversible (Gomez et al. 2017, arXiv 1707.04585): y1 = x1 + attention(x2),
   y2 = x2 + feed_forward(y1). Going back, x1 and x2 are computed from y1 and y2, so that what must
   be kept does not grow with the layers, but for the buckets (blocks/reversible.py).
3. Feed-forward networks, which are wide, take a few positions at a time.

    preset          D     layers   heads     context   parameters
    reformer        256   6        12 x 64   4096      5,975,872   transformers' default, 5,811,712,
                                                                   and its output
    reformer_tiny   128   2        4 x 32    512       412,107     ours, of 75 characters

As in the authors' program, every other layer is local: it looks at its own piece of the text and
the one before; a position is a row and a column with a vector each (axial positions); the output
sees both streams.

Causality: no later token is ever looked at, but which earlier ones share a chunk depends on how
many later ones fell into the buckets below. Texts of one chunk have no such dependence.

Legend: B batch, T time, D features, H heads of d features, R rounds of hashing, C chunks of L
positions, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import UserError, did_you_mean
from networks.base import LanguageModel
from networks.blocks.chunked_attention import HashedAttention, LocalAttention
from networks.blocks.reversible import ReversibleBlock, run_reversibly
from networks.space import choice

ATTENTION = {"lsh": HashedAttention, "local": LocalAttention}
EPSILON = 1e-12  # added to the variances of all norms


@dataclass(frozen=True)
class ReformerConfig:
    """Sizes of the network."""

    vocabulary: int = 320
    """V, number of tokens."""
    context_length: int = 4096
    """Tokens that fit at once."""
    width: int = choice(256, (64, 128, 256, 512))
    """D, features of a token, of each stream; a multiple of 4."""
    layers: int = choice(6, (2, 4, 6))
    """Reversible blocks."""
    heads: int = choice(12, (2, 4, 8, 12))
    """H."""
    head_width: int = choice(64, (16, 32, 64))
    """d."""
    inner: int = choice(512, (256, 512, 1024))
    """Units of the feed-forward network."""
    attention: tuple[str, ...] = ("local", "lsh")
    """Of the first layers, repeated for the others: lsh or local."""
    chunk_length: int = choice(64, (16, 32, 64, 128))
    """L. Texts that are no longer than this get full attention."""
    hashes: int = choice(1, (1, 2, 4, 8))
    """R."""
    buckets: int = choice(0, (0,))
    """Of a round, even; 0: two for each chunk, rounded down to a power of two."""
    feed_forward_chunk: int = choice(512, (64, 512))
    """Positions that the feed-forward network takes at once."""
    hash_seed: int = 0
    """Of the rotations when not training; in training each pass draws its own."""
    dropout: float = choice(0.05, (0.0, 0.05, 0.1))
    """Share dropped of embeddings and of what each half of a block computed."""


PRESETS = {
    "reformer": ReformerConfig(),
    "reformer_tiny": ReformerConfig(
        vocabulary=75, context_length=512, width=128, layers=2, heads=4, head_width=32,
        hashes=2, dropout=0.0,
    ),
}  # fmt: skip


class AttentionHalf(nn.Module):
    """output(attention(norm(x)))"""

    def __init__(self, config: ReformerConfig, kind: str) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, EPSILON)
        self.look: Any = ATTENTION[kind](config)
        self.output = nn.Linear(config.heads * config.head_width, config.width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def prepare(self, x: Tensor) -> Tensor | None:
        """Buckets, which must be the same when the block is run again."""
        buckets: Tensor | None = self.look.sort(self.norm(x))
        return buckets

    def forward(self, x: Tensor, prepared: Tensor | None) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        found: Tensor = self.dropout(self.output(self.look(self.norm(x), prepared)))
        return found


class FeedForwardHalf(nn.Module):
    """feed_forward(norm(x)), some positions at a time."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        self.chunk = config.feed_forward_chunk
        self.norm = nn.LayerNorm(config.width, EPSILON)
        self.inner = nn.Linear(config.width, config.inner)
        self.output = nn.Linear(config.inner, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        pieces = torch.split(x, self.chunk, dim=1)
        made = [self.output(self.inner(self.norm(piece)).relu()) for piece in pieces]
        dropped: Tensor = self.dropout(torch.cat(made, dim=1))
        return dropped


class AxialPositions(nn.Module):
    """Vectors of a table's row and column, one after the other: a quarter of D and the rest."""

    def __init__(self, width: int, longest: int) -> None:
        super().__init__()
        self.longest = longest
        self.columns = 1 << ((longest - 1).bit_length() + 1) // 2  # a power of two, over the root
        rows = -(-longest // self.columns)
        self.row = nn.Parameter(torch.empty(rows, 1, width // 4))
        self.column = nn.Parameter(torch.empty(1, self.columns, width - width // 4))

    def forward(self, length: int) -> Tensor:
        """Vectors [T, D] of the first positions. Raises UserError for more than there are."""
        if length > self.longest:
            raise UserError(
                f"a sequence of {length} tokens is too long for {self.longest} positions; "
                "shorten it"
            )
        places = torch.arange(length, device=self.row.device)
        row, column = places // self.columns, places % self.columns
        return torch.cat((self.row[row, 0], self.column[0, column]), dim=1)


class Reformer(LanguageModel):
    """Embedding, reversible blocks, and an output that sees both streams.

    Raises:
        UserError: an attention, a number of buckets or a width that cannot be.
    """

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        for kind in config.attention:
            if kind not in ATTENTION:
                raise UserError(
                    f"there is no attention {kind!r}{did_you_mean(kind, ATTENTION)} (known: "
                    f"{', '.join(ATTENTION)})"
                )
        if config.buckets < 0 or config.buckets % 2:
            raise UserError(f"buckets must be an even number, or 0, got {config.buckets}")
        if config.buckets > 2 * config.chunk_length and config.buckets & (config.buckets - 1):
            raise UserError(
                f"more buckets than {2 * config.chunk_length}, twice the chunk_length, must be a "
                f"power of two, got {config.buckets}"
            )
        if config.width % 4:
            raise UserError(f"axial positions need a width divisible by 4, got {config.width}")
        self.context_length = config.context_length
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.positions = AxialPositions(config.width, config.context_length)
        self.dropout = nn.Dropout(config.dropout)
        kinds = (config.attention[n % len(config.attention)] for n in range(config.layers))
        self.blocks = nn.ModuleList(
            ReversibleBlock(AttentionHalf(config, kind), FeedForwardHalf(config)) for kind in kinds
        )
        self.norm = nn.LayerNorm(2 * config.width, EPSILON)
        self.output = nn.Linear(2 * config.width, config.vocabulary)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, None]:
        """Logits of the next tokens, [B, T, V], and None: there is nothing to go on from.

        Args:
            tokens: int64 [B, T].
            state: not used.

        Raises:
            UserError: the tokens are more than the context holds.
        """
        x = self.dropout(self.embedding(tokens) + self.positions(tokens.shape[1]))  # [B, T, D]
        both = torch.cat(run_reversibly(self.blocks, x, x), dim=-1)  # [B, T, 2 D]
        return self.output(self.dropout(self.norm(both))), None


def build(config: ReformerConfig) -> nn.Module:
    """The language model of a config. Raises what `Reformer` does."""
    return Reformer(config)


NAMES: dict[str, str | None] = {
    "reformer.embeddings.word_embeddings": "embedding",
    "reformer.encoder.layer_norm": "norm",
    "lm_head.decoder": "output",
    "lm_head": None,  # the output's bias once more
    "attention.layer_norm": "attention.norm",
    "attention.self_attention.query_key": "attention.look.query_key",
    "attention.self_attention.query": "attention.look.query",
    "attention.self_attention.key": "attention.look.key",
    "attention.self_attention.value": "attention.look.value",
    "attention.output.dense": "attention.output",
    "feed_forward.layer_norm": "feed_forward.norm",
    "feed_forward.dense.dense": "feed_forward.inner",
    "feed_forward.output.dense": "feed_forward.output",
}
"""Layers by their names in transformers, those of a block without its number; and ours."""


def rename(name: str) -> str | None:
    """From the official name of a tensor to ours."""
    axial = "reformer.embeddings.position_embeddings.weights."
    if name.startswith(axial):
        return f"positions.{('row', 'column')[int(name[-1])]}"
    layer, _, kind = name.rpartition(".")
    block = ""
    if layer.startswith("reformer.encoder.layers."):
        number, _, layer = layer.removeprefix("reformer.encoder.layers.").partition(".")
        block = f"blocks.{number}."
    ours = NAMES.get(layer, layer)
    return None if ours is None else f"{block}{ours}.{kind}"
