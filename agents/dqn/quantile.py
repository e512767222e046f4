"""Quantiles of returns: QR-DQN, Dabney et al. 2018, arXiv 1710.10044.

The network gives N values, of which the i-th learns to be the quantile of fraction tau_i of the
return: too small with probability 1 - tau_i, too large with probability tau_i.

Legend: B batch, N quantiles predicted, M quantiles of the target.
"""

from __future__ import annotations

import torch
from torch import Tensor

KAPPA = 1.0
"""Errors up to this are squared, as in the papers."""


def midpoints(count: int) -> Tensor:
    """The fractions that N quantiles are best learned at, (2 i + 1) / 2 N (lemma 2), float [N]."""
    return (torch.arange(count) + 0.5) / count


def quantile_huber_loss(quantiles: Tensor, fractions: Tensor, target: Tensor) -> Tensor:
    """The quantile Huber loss of each row (equations 9 and 10).

    Summed over the quantiles predicted, averaged over those of the target.

    Args:
        quantiles: of the action that was taken, float [B, N].
        fractions: what they are quantiles of, float [B, N] or [1, N].
        target: samples or quantiles of the return, float [B, M]; no gradient flows into it.

    Returns:
        float [B].
    """
    error = target.detach().unsqueeze(1) - quantiles.unsqueeze(2)  # [B, N, M]
    size = error.detach().abs()
    huber = torch.where(size <= KAPPA, 0.5 * error**2, KAPPA * (error.abs() - 0.5 * KAPPA))
    weight = (fractions.unsqueeze(2) - (error.detach() < 0).float()).abs()
    return (weight * huber / KAPPA).mean(dim=2).sum(dim=1)
