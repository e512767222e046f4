"""Attention by content, by distance in both directions, and by segment.

Paper: Yang et al. 2019, XLNet, arXiv 1906.08237, sections 2.4 and 2.5, after Dai et al. 2019,
Transformer-XL, arXiv 1901.02860. The score of query i and key j is

    (q_i + u) . k_j + (q_i + v) . W_R R_{i-j} + (q_i + b) . s_ij

with R a sinusoid of the distance, s_ij one vector where i and j are of the same segment and another
where they are not, and u, v, b learned. Who asks and who is looked at are apart, so that two
streams can look at one.

Legend: B batch, Q queries, S keys, N distances, D features, H heads of d features.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

EPSILON = 1e-12  # added to the variances of the norm


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
    def dropout(self) -> float:
        """Share dropped of attention weights and of what was found."""


def distance_vectors(first: int, last: int, width: int, device: torch.device) -> Tensor:
    """Sinusoids of the distances first, first - 1, ..., last; all sines before all cosines."""
    distances = torch.arange(first, last - 1, -1, device=device)
    even = torch.arange(0, width, 2, device=device)
    angles = distances[:, None] * torch.exp(-math.log(10_000.0) / width * even)
    return torch.cat((angles.sin(), angles.cos()), dim=1)


class RelativeAttention(nn.Module):
    """Attention by content, distance and segment; added to what asked, and normalised."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        shape = (sizes.width, sizes.heads, sizes.head_width)
        self.query, self.key, self.value, self.output, self.distance = (
            nn.Parameter(torch.empty(shape)) for _ in range(5)
        )
        self.content_bias, self.distance_bias, self.segment_bias = (
            nn.Parameter(torch.zeros(shape[1:])) for _ in range(3)
        )
        self.segments = nn.Parameter(torch.empty(2, *shape[1:]))  # the same one, another one
        self.norm = nn.LayerNorm(sizes.width, EPSILON)
        self.dropout = nn.Dropout(sizes.dropout)

    def remember(self, seen: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values [B, H, S, d] of what is seen [B, S, D], and distances [H, N, d] of
        `vectors` [N, D]."""
        key, value = (torch.einsum("btw,whd->bhtd", seen, p) for p in (self.key, self.value))
        return key, value, torch.einsum("nw,whd->hnd", vectors, self.distance)

    def forward(
        self,
        asking: Tensor,
        kept: tuple[Tensor, Tensor, Tensor],
        distances: Tensor,
        mask: Tensor,
        elsewhere: Tensor | None,
    ) -> Tensor:
        """[B, Q, D] to [B, Q, D].

        Args:
            asking: content or query stream.
            kept: what `remember` gave.
            distances: which of the vectors is that from a query to a key, int64 [B, Q, S].
            mask: bool [B, Q, S], true where one may look.
            elsewhere: bool [B, Q, S], true where the segments differ; None for one segment.
        """
        key, value, by = kept
        query = torch.einsum("bqw,whd->bhqd", asking, self.query)
        scores = (query + self.content_bias[:, None]) @ key.transpose(2, 3)  # [B, H, Q, S]
        far = (query + self.distance_bias[:, None]) @ by.transpose(1, 2)  # [B, H, Q, N]
        scores = scores + far.gather(3, distances[:, None].expand_as(scores))
        if elsewhere is not None:
            asked = query + self.segment_bias[:, None]
            same, other = torch.einsum("bhqd,shd->sbhq", asked, self.segments)[..., None]
            scores = scores + torch.where(elsewhere[:, None], other, same)
        scores = (scores.float() if scores.dtype.itemsize < 4 else scores) / math.sqrt(key.shape[3])
        weights = scores.masked_fill(~mask[:, None], -1e30).softmax(dim=3)
        weights = self.dropout(weights * mask.any(dim=2)[:, None, :, None]).to(value.dtype)
        found = torch.einsum("bhqd,whd->bqw", weights @ value, self.output)
        normalised: Tensor = self.norm(asking + self.dropout(found))
        return normalised
