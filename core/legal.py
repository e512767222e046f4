"""Legal actions: what a policy may choose from, and what a maximum may range over.

Legend: L lanes, B batch, A actions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def random_actions(
    rng: np.random.Generator, num_lanes: int, num_actions: int, legal: np.ndarray | None
) -> np.ndarray:
    """One action per lane, each legal one as likely, int64 [L].

    Args:
        rng: the random stream.
        num_lanes: L.
        num_actions: A.
        legal: bool [L, A], None where all are; a lane without any gets action 0.
    """
    if legal is None:
        return rng.integers(0, num_actions, num_lanes)
    drawn: np.ndarray = np.where(legal, rng.random(legal.shape), -1.0).argmax(axis=1)
    return drawn


def legal_only(values: Tensor, legal: Tensor | None) -> Tensor:
    """Action values or logits [B, A] with those of illegal actions so low that none is chosen.

    Not minus infinity: an entropy must stay a number. A state without any legal action, where an
    episode ended, is taken as one where all are: one that was cut has a value.

    Args:
        values: float [B, A].
        legal: bool [B, A], None where all are.
    """
    if legal is None:
        return values
    illegal = ~legal & legal.any(dim=1, keepdim=True)
    return values.masked_fill(illegal, torch.finfo(values.dtype).min)
