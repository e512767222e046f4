"""What a network sees of a Go position, and what a person does."""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from envs.games.go.board import (
    COLOUR,
    COMPENSATION,
    EMPTY,
    NEXT,
    PAST,
    PAST_AT,
    ROW,
    SIZE,
    at,
    point_of,
)
from envs.games.go.rules import PAST_BOARDS, mark_territory
from envs.games.state import TO_MOVE

PLANES = 2 * PAST_BOARDS + 1


@kernel
def observe(state: np.ndarray, planes: np.ndarray) -> None:
    """The 17 planes [17, H, W] of AlphaGo Zero (Silver et al. 2017).

    Planes 2t and 2t + 1: stones of the player to move and of the other, t moves ago, for t from 0
    to 7; zeros before the game began. The last plane is one if Black is to move.
    """
    size = state[SIZE]
    cells = size * size
    packed = (cells + 15) >> 4
    own = state[TO_MOVE] + 1
    flat = planes.reshape(PLANES * cells)
    for ago in range(PAST_BOARDS):
        mine = flat[2 * ago * cells : (2 * ago + 1) * cells]
        other = flat[(2 * ago + 1) * cells : (2 * ago + 2) * cells]
        if ago >= state[PAST]:
            mine[:] = 0
            other[:] = 0
            continue
        slot = state[PAST_AT] + (state[PAST] - 1 - ago) % PAST_BOARDS * packed
        for word in range(packed):
            bits, first = state[slot + word], word << 4
            for cell in range(min(16, cells - first)):
                colour = (bits >> (2 * cell)) & 3
                mine[first + cell] = colour == own
                other[first + cell] = colour == 3 - own
    flat[2 * PAST_BOARDS * cells :] = state[TO_MOVE] == 0


@kernel
def copy_cells(state: np.ndarray, cells: np.ndarray) -> None:
    """The board as int8 [H * W]: 0 empty, 1 Black, 2 White."""
    size = state[SIZE]
    for row in range(size):
        for column in range(size):
            cells[row * size + column] = state[at((row + 1) * ROW + column + 1) + COLOUR]


@kernel
def ownership(state: np.ndarray, cells: np.ndarray) -> None:
    """Who owns each cell by area, int8 [H * W]: 0 nobody, 1 Black, 2 White."""
    mark_territory(state)
    for cell in range(cells.size):
        record = at(point_of(state[SIZE], cell))
        owner = state[record + COLOUR]
        cells[cell] = owner if owner != EMPTY else state[record + NEXT]


@kernel
def handicap(state: np.ndarray) -> int:
    """Komi in half points: White's gain, Black's loss."""
    return state[COMPENSATION] if state[TO_MOVE] == 1 else -state[COMPENSATION]
