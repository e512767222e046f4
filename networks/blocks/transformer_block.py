"""What GPT, GPT-2 and BERT share: self-attention that remembers, and the block around it.

Papers: Vaswani et al. 2017, arXiv 1706.03762; Radford et al. 2018 (GPT) and Devlin et al. 2018
(BERT, arXiv 1810.04805) kept its encoder's block and drop out attention weights too.

The networks differ in what they pass in: the mask, the activation, the projection and the place of
the norms. Post-norm is here; GPT-2 has the other.

Legend: B batch, T time, S = past + T, D features, d = D / heads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from core.errors import UserError
from networks.blocks.activations import activation
from networks.blocks.attention import KeysValues, attend, merge_heads, split_heads
from networks.blocks.positions import LearnedPositions


class Sizes(Protocol):
    """What the config of such a network has."""

    @property
    def width(self) -> int:
        """D."""

    @property
    def heads(self) -> int:
        """Attention heads, which share D evenly."""

    @property
    def activation(self) -> str:
        """In the feed-forward network, by name."""

    @property
    def dropout(self) -> float:
        """Share dropped of attention weights and of what each sublayer computed."""


class SelfAttention(nn.Module):
    """Positions look at each other, and at earlier ones whose keys and values were kept.

    Args:
        sizes: width, heads and dropout.
        projection: [B, T, D] to queries, keys and values side by side, [B, T, 3 D].

    Raises:
        UserError: the width is not a multiple of the heads.
    """

    def __init__(self, sizes: Sizes, projection: nn.Module) -> None:
        super().__init__()
        if sizes.heads < 1 or sizes.width % sizes.heads:
            raise UserError(
                f"{sizes.heads} attention heads cannot share {sizes.width} features evenly"
            )
        self.heads = sizes.heads
        self.dropout = sizes.dropout
        self.projection = projection
        self.output = nn.Linear(sizes.width, sizes.width)

    def forward(
        self, features: Tensor, mask: Tensor | None, past: KeysValues | None = None
    ) -> tuple[Tensor, KeysValues]:
        """[B, T, D] to [B, T, D], and what to give as `past` when the sequence goes on.

        Args:
            features: of the new positions.
            mask: bool, true where one may look; broadcasts to [B, heads, T, S].
            past: keys and values of the earlier positions; None at the beginning.
        """
        parts = self.projection(features).chunk(3, dim=-1)
        query, key, value = (split_heads(part, self.heads) for part in parts)  # [B, heads, T, d]
        if past is not None:
            key = torch.cat((past[0], key), dim=2)  # [B, heads, S, d]
            value = torch.cat((past[1], value), dim=2)
        dropout = self.dropout if self.training else 0.0
        found = merge_heads(attend(query, key, value, mask, dropout))  # [B, T, D]
        return self.output(found), (key, value)


def feed_forward(sizes: Sizes) -> nn.Sequential:
    """The same two-layer network at every position, 4 D units wide."""
    return nn.Sequential(
        nn.Linear(sizes.width, 4 * sizes.width),
        activation(sizes.activation),
        nn.Linear(4 * sizes.width, sizes.width),
    )


class PostNormBlock(nn.Module):
    """x = norm(x + attention(x)), then x = norm(x + feed_forward(x))

    Args:
        sizes: of the network.
        projection: that of `SelfAttention`.
        epsilon: added to the variances of the norms.
    """

    def __init__(self, sizes: Sizes, projection: nn.Module, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.attention = SelfAttention(sizes, projection)
        self.norm1 = nn.LayerNorm(sizes.width, epsilon)
        self.feed_forward = feed_forward(sizes)
        self.norm2 = nn.LayerNorm(sizes.width, epsilon)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, past: KeysValues | None = None
    ) -> tuple[Tensor, KeysValues]:
        """Takes and returns what `SelfAttention` does."""
        found, kept = self.attention(x, mask, past)
        x = self.norm1(x + self.dropout(found))
        x = self.norm2(x + self.dropout(self.feed_forward(x)))
        return x, kept


def draw_weights(network: nn.Module, draw: Callable[[Tensor], object]) -> None:
    """Draw all matrices, embeddings and positions anew; biases of linear layers become zero."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding | LearnedPositions):
            draw(module.weight)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
