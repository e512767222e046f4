"""Categorical distributions of returns, C51: Bellemare et al. 2017, arXiv 1707.06887.

The return has one of Z values, the atoms, evenly spaced; the network gives a logit for each. The
Bellman update moves and shrinks the atoms, and their mass is then shared between the neighbours
among the fixed ones.

Legend: B batch, A actions, Z atoms.
"""

from __future__ import annotations

import torch
from torch import Tensor


def project(
    n_step_return: Tensor, bootstrap_discount: Tensor, probabilities: Tensor, atoms: Tensor
) -> Tensor:
    """The distribution of ``return + discount * Z``, brought back to the atoms (algorithm 1).

    Args:
        n_step_return: float [B].
        bootstrap_discount: 0 where the episode terminated, float [B].
        probabilities: of the atoms in the bootstrap state, float [B, Z].
        atoms: evenly spaced, rising, float [Z], Z at least 2.

    Returns:
        Probabilities, float [B, Z].
    """
    low, high = atoms[0], atoms[-1]
    moved = n_step_return.unsqueeze(1) + bootstrap_discount.unsqueeze(1) * atoms  # [B, Z]
    place = (moved.clamp(low, high) - low) / (high - low) * (len(atoms) - 1)  # 0 .. Z - 1
    # The atom below, so that one above is always there: the last atom is "1 above Z - 2".
    below = place.floor().clamp(max=len(atoms) - 2)
    share_above = place - below
    index = below.long()
    projected = torch.zeros_like(probabilities)
    projected.scatter_add_(1, index, probabilities * (1 - share_above))
    return projected.scatter_add_(1, index + 1, probabilities * share_above)


def categorical_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each row, and the divergence of Kullback and Leibler.

    Args:
        logits: of the action that was taken, float [B, Z].
        target: probabilities from `project`, float [B, Z]; no gradient flows into it.

    Returns:
        Cross-entropy, float [B], and D_KL(target || prediction), float [B], by which Rainbow
        (Hessel et al. 2018, arXiv 1710.02298) prioritises: it is 0 where nothing is left to learn.
    """
    target = target.detach()
    loss = -(target * logits.log_softmax(dim=1)).sum(dim=1)
    entropy = -torch.xlogy(target, target).sum(dim=1)
    return loss, (loss - entropy).detach().clamp(min=0)
