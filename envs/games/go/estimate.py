"""Who will own what: the mean of random playouts, which also tells dead stones from living ones."""

from __future__ import annotations

import numpy as np

from core.kernels import kernel
from envs.games.go.board import BLACK, COLOUR, EMPTY, NEXT, PASSES, ROW, SIZE, WHITE, at
from envs.games.go.rules import mark_territory, playout


@kernel
def estimate_ownership(
    state: np.ndarray, rng: np.ndarray, playouts: int, means: np.ndarray
) -> None:
    """Write each cell's expected owner, float64 [H * W], from -1 White to 1 Black."""
    size = state[SIZE]
    mask = np.empty(0, np.uint8)
    work = state.copy()
    means[:] = 0
    for _ in range(playouts):
        work[:] = state
        work[PASSES] = 0
        playout(work, rng, mask)
        mark_territory(work)
        for row in range(size):
            for column in range(size):
                record = at((row + 1) * ROW + column + 1)
                owner = work[record + COLOUR]
                if owner == EMPTY:
                    owner = work[record + NEXT]
                means[row * size + column] += (owner == BLACK) - (owner == WHITE)
    means /= playouts
