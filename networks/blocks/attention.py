"""Multi-head scaled dot-product attention: softmax(Q K^T / sqrt(d)) V in every head.

Paper: Vaswani et al. 2017, Attention is all you need, arXiv 1706.03762, section 3.2.

A mask is bool, true where a query may look at a key, of any shape that broadcasts to
[B, heads, T, S]. Every query must be allowed at least one key.

Legend: B batch, T queries, S keys, D features of all heads, d = D / heads features of one.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """For every query, the mean of the values weighted by how well their keys fit it.

    Args:
        query: float [B, heads, T, d].
        key: float [B, heads, S, d].
        value: float [B, heads, S, d].
        mask: bool, true where a query may look; None lets every query see every key.
        dropout: share of the weights set to zero; pass 0 when not training.

    Returns:
        float [B, heads, T, d].
    """
    return F.scaled_dot_product_attention(query, key, value, mask, dropout)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """The weights that `attend` gives to the values, [B, heads, T, S]; rows sum to 1.

    Takes what `attend` takes. Slower: `attend` never holds this matrix as a whole.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # [B, heads, T, S]
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1)


def causal_mask(length: int, past: int = 0, device: torch.device | None = None) -> Tensor:
    """Positions see themselves and those before them, bool [length, past + length].

    `past` counts positions whose keys are kept from earlier calls.
    """
    return torch.ones(length, past + length, dtype=torch.bool, device=device).tril(past)


def split_heads(features: Tensor, heads: int) -> Tensor:
    """[B, T, D] to [B, heads, T, D / heads]."""
    batch, time, width = features.shape
    return features.reshape(batch, time, heads, width // heads).transpose(1, 2)


def merge_heads(features: Tensor) -> Tensor:
    """[B, heads, T, d] to [B, T, heads * d]."""
    return features.transpose(1, 2).flatten(2)


KeysValues = tuple[Tensor, Tensor]
"""Keys and values in heads, both [B, heads, S, d]."""


class MultiHeadAttention(nn.Module):
    """Attention and its four projections.

    They have biases, which the paper's formulas leave out and all implementations have.

    Args:
        width: D.
        heads: they share D evenly.

    Raises:
        UserError: the width is not a multiple of the heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise UserError(f"{heads} attention heads cannot share {width} features evenly")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def remember(self, memory: Tensor) -> KeysValues:
        """Keys and values of what can be looked at, [B, S, D]."""
        key = split_heads(self.key(memory), self.heads)  # [B, heads, S, d]
        value = split_heads(self.value(memory), self.heads)
        return key, value

    def forward(self, features: Tensor, memory: KeysValues, mask: Tensor | None = None) -> Tensor:
        """What `features` [B, T, D] find in a memory: [B, T, D]. `mask` is that of `attend`."""
        query = split_heads(self.query(features), self.heads)  # [B, heads, T, d]
        found: Tensor = self.output(merge_heads(attend(query, *memory, mask)))
        return found

    def weights(self, features: Tensor, memory: KeysValues, mask: Tensor | None = None) -> Tensor:
        """The weights of `forward` for the same arguments, [B, heads, T, S]."""
        query = split_heads(self.query(features), self.heads)
        return attention_weights(query, memory[0], mask)
