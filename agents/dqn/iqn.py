"""Implicit quantile networks: Dabney et al. 2018, arXiv 1806.06923.

Instead of fixed quantiles the network learns all of them: it is told the fraction tau whose
quantile it shall give, by cosines of tau that are multiplied into the features of the torso.
The loss is that of `agents/dqn/quantile.py`, at fractions drawn uniformly.

Legend: B batch, N fractions, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

COSINES = 64
"""n of equation 4."""


class FractionEmbedding(nn.Module):
    """Features [B, D] and fractions [B, N] -> features for each of them [B, N, D] (equation 4).

    Deviation: cos(pi i tau) for i = 1..n, as in the authors' later code, not 0..n-1, where the
    first says nothing.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(COSINES, num_features)
        self.frequencies: Tensor
        frequencies = math.pi * torch.arange(1, COSINES + 1, dtype=torch.float32)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, features: Tensor, fractions: Tensor) -> Tensor:
        """float [B, N, D]; ``fractions`` may be [1, N]."""
        cosines = torch.cos(fractions.unsqueeze(2) * self.frequencies)  # [B, N, n]
        embedded = torch.relu(self.linear(cosines))  # [B, N, D]
        return features.unsqueeze(1) * embedded
