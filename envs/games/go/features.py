"""What a network sees of a Go position, and what a person does."""

from __future__ import annotations

import numpy as np

from core.kernels import kernel
from envs.games.go.board import COLOUR, EMPTY, NEXT, PAST, PAST_AT, ROW, SIZE, at, point_of
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
    for ago in range(PAST_BOARDS):
        if ago >= state[PAST]:
            planes[2 * ago : 2 * ago + 2] = 0
            continue
        slot = state[PAST_AT] + (state[PAST] - 1 - ago) % PAST_BOARDS * packed
        cell = 0
        for row in range(size):
            for column in range(size):
                colour = (state[slot + (cell >> 4)] >> ((cell & 15) << 1)) & 3
                planes[2 * ago, row, column] = colour == own
                planes[2 * ago + 1, row, column] = colour == 3 - own
                cell += 1
    planes[PLANES - 1] = state[TO_MOVE] == 0


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
