"""Designs that no other beats in every respect.

Legend: N designs, K objectives, of which more is better.
"""

from __future__ import annotations

import numpy as np


def non_dominated(objectives: np.ndarray) -> np.ndarray:
    """Which rows nobody dominates: is at least as good in all objectives and better in one.

    Equal rows do not dominate one another: all of them stay.

    Args:
        objectives: float64 [N, K], finite.

    Returns:
        bool [N].
    """
    unique, inverse = np.unique(objectives, axis=0, return_inverse=True)
    # From the best in the first objective on, a row can only be dominated by one that stayed.
    front: list[int] = []
    for row in reversed(range(len(unique))):
        ahead = unique[front]
        if not front or not (ahead >= unique[row]).all(axis=1).any():
            front.append(row)
    kept = np.zeros(len(unique), np.bool_)
    kept[front] = True
    return kept[inverse.reshape(-1)]
