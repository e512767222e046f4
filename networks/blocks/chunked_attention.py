"""Attention within chunks of positions: of neighbours in the text, or of those that hash alike.

Paper: Kitaev, Kaiser & Levskaya 2020, Reformer, arXiv 2001.04451, section 2. Queries and keys are
the same vectors, keys scaled to one length. A random rotation R sorts them into buckets,
h(x) = argmax([xR; -xR]). Positions in the order of their buckets are cut into chunks; each looks at
its own chunk and the one before. Rounds with other rotations find what one misses:

    o_i = sum_r exp(z_i^r - z_i) o_i^r        z_i^r: logarithm of the sum of round r's softmax

As in the authors' program a key that several rounds find counts several times, and the first chunk
of a round looks at the last one of the round before.

Legend: B batch, T time, D features, H heads of d features, R rounds of hashing, C chunks of L
positions.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.blocks.attention import merge_heads, split_heads

LATER, SELF = -1e9, -1e5
"""Scores of later positions, and of one's own, which is taken where there is no other."""


class Sizes(Protocol):
    """What the config of such a network has."""

    @property
    def width(self) -> int:
        """D."""

    @property
    def heads(self) -> int:
        """H."""

    @property
    def head_width(self) -> int:
        """d."""

    @property
    def chunk_length(self) -> int:
        """L. Texts that are no longer than this get full attention."""

    @property
    def hashes(self) -> int:
        """R."""

    @property
    def buckets(self) -> int:
        """Of a round, even; 0: two for each chunk, rounded down to a power of two."""

    @property
    def hash_seed(self) -> int:
        """Of the rotations when not training; in training each pass draws its own."""


def attend_in_chunks(
    query: Tensor, key: Tensor, value: Tensor, places: Tensor, see_self: bool
) -> tuple[Tensor, Tensor]:
    """Every chunk looks at itself and the one before it, never at later places.

    Args:
        query, key, value: float [B, H, C, L, d].
        places: of the positions in the text, int64 [B, H, C, L].
        see_self: whether a position may look at itself when it can look at others.

    Returns:
        What was found, [B, H, C, L, d], and the logarithms of the softmax's sums, [B, H, C, L].
    """
    seen = places
    if places.shape[2] > 1:
        key, value, seen = (torch.cat((x.roll(1, 2), x), dim=3) for x in (key, value, places))
    scores = query @ key.transpose(-1, -2)  # [B, H, C, L, L or 2 L]
    scores = scores.float() if scores.dtype.itemsize < 4 else scores
    scores = scores.masked_fill(places[..., None] < seen[..., None, :], LATER)
    if not see_self:
        scores = scores.masked_fill(places[..., None] == seen[..., None, :], SELF)
    total = scores.logsumexp(dim=-1)
    return (scores - total[..., None]).exp().to(value.dtype) @ value, total


def hash_factors(length: int, chunk_length: int, buckets: int) -> tuple[int, ...]:
    """Numbers of buckets of the hashes that one round combines: a single one would need a rotation,
    and memory, that grow with the length."""
    buckets = buckets or 1 << ((2 * (length // chunk_length)).bit_length() - 1)
    if buckets <= 2 * chunk_length:
        return (buckets,)
    power = buckets.bit_length() - 1
    return 1 << power // 2, 1 << (power - power // 2)


class LocalAttention(nn.Module):
    """Attention to one's own piece of the text and the one before."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.heads * sizes.head_width
        self.heads, self.chunk_length = sizes.heads, sizes.chunk_length
        self.query, self.key, self.value = (
            nn.Linear(sizes.width, width, bias=False) for _ in range(3)
        )

    def sort(self, x: Tensor) -> None:
        """Nothing to prepare."""

    def forward(self, x: Tensor, buckets: Tensor | None) -> Tensor:
        """[B, T, D] to [B, T, H d]."""
        length = x.shape[1]
        chunk = min(length, self.chunk_length)
        x = F.pad(x, (0, 0, 0, -length % chunk))
        parts = (split_heads(layer(x), self.heads) for layer in (self.query, self.key, self.value))
        query, key, value = (
            torch.unflatten(part, 2, (-1, chunk)) for part in parts
        )  # [B, H, C, L, d]
        places = torch.arange(x.shape[1], device=x.device).view(1, 1, -1, chunk)
        scaled = key / math.sqrt(key.shape[-1])
        found, _ = attend_in_chunks(query, scaled, value, places, see_self=True)
        return merge_heads(found.flatten(2, 3))[:, :length]


class HashedAttention(nn.Module):
    """Attention to what falls into the same buckets (section 2)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.heads * sizes.head_width
        self.sizes = sizes
        self.query_key = nn.Linear(sizes.width, width, bias=False)
        self.value = nn.Linear(sizes.width, width, bias=False)

    @torch.no_grad()
    def sort(self, x: Tensor) -> Tensor | None:
        """The bucket of every position of `x` [B, T, D] in every round, int32 [B, H, R, T]; padding
        has the last one. None where all fits into one chunk."""
        sizes = self.sizes
        length = x.shape[1]
        if length <= sizes.chunk_length:
            return None
        padding = -length % sizes.chunk_length
        vectors = split_heads(self.query_key(x), sizes.heads)  # [B, H, T, d]
        factors = hash_factors(length + padding, sizes.chunk_length, sizes.buckets)
        shape = (sizes.heads, sizes.head_width, sizes.hashes, sum(factors) // 2)
        seeded = None if self.training else torch.Generator().manual_seed(sizes.hash_seed)
        rotations = torch.randn(shape, generator=seeded, dtype=vectors.dtype).to(x.device)
        buckets, scale = torch.zeros((), dtype=torch.int32, device=x.device), 1
        for factor in factors:
            rotation, rotations = rotations[..., : factor // 2], rotations[..., factor // 2 :]
            turned = torch.einsum("bhtd,hdrn->bhrtn", vectors, rotation)
            # argmax of [xR; -xR], without the second half.
            best = turned.abs().argmax(dim=-1, keepdim=True)
            negative = turned.gather(-1, best) < 0
            buckets = buckets + scale * (best + factor // 2 * negative)[..., 0].int()
            scale *= factor
        return F.pad(buckets, (0, padding), value=scale)

    def forward(self, x: Tensor, buckets: Tensor | None) -> Tensor:
        """[B, T, D] to [B, T, H d]; `buckets` are what `sort` gave."""
        sizes = self.sizes
        length = x.shape[1]
        if buckets is None:
            order = torch.arange(length, device=x.device).expand(len(x), sizes.heads, 1, length)
            chunk = length
        else:
            order = buckets.sort(dim=-1, stable=True).indices  # [B, H, R, T]
            chunk = sizes.chunk_length
            x = F.pad(x, (0, 0, 0, order.shape[-1] - length))
        places = order.flatten(2)  # [B, H, R T]
        index = places[..., None].expand(-1, -1, -1, sizes.head_width)
        query, value = (
            torch.unflatten(split_heads(layer(x), sizes.heads).gather(2, index), 2, (-1, chunk))
            for layer in (self.query_key, self.value)
        )  # [B, H, C, L, d]
        key = query * (query.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        places = torch.unflatten(places, 2, (-1, chunk))
        found, total = attend_in_chunks(
            query, key / math.sqrt(sizes.head_width), value, places, see_self=False
        )
        return merge_heads(_join_rounds(found, total, order))[:, :length]


def _join_rounds(found: Tensor, total: Tensor, order: Tensor) -> Tensor:
    """Rounds back in the order of the text, and weighted by their softmax's sums.

    Args:
        found, total: what `attend_in_chunks` gave.
        order: the position at each place, int64 [B, H, R, T].

    Returns:
        float [B, H, T, d].
    """
    back = order.argsort(dim=-1)  # [B, H, R, T]
    rounds = torch.unflatten(found.flatten(2, 3), 2, order.shape[2:])  # [B, H, R, T, d]
    totals = torch.unflatten(total.flatten(2), 2, order.shape[2:]).gather(3, back)
    share = totals.softmax(dim=2)[..., None].to(rounds.dtype)
    return (rounds.gather(3, back[..., None].expand_as(rounds)) * share).sum(dim=2)
