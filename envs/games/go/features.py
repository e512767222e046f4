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
    colours = np.empty(16 * packed, np.uint8)
    for ago in range(PAST_BOARDS):
        mine, other = 2 * ago * cells, (2 * ago + 1) * cells
        if ago >= state[PAST]:
            flat[mine : mine + 2 * cells] = 0
            continue
        slot = state[PAST_AT] + (state[PAST] - 1 - ago) % PAST_BOARDS * packed
        _unpack(state, slot, packed, colours)
        _mark(flat, mine, colours, own, cells)
        _mark(flat, other, colours, 3 - own, cells)
    flat[2 * PAST_BOARDS * cells :] = state[TO_MOVE] == 0


# Unsigned numbers and a fixed number of turns make vector instructions of these loops.


@kernel
def _unpack(state: np.ndarray, slot: int, packed: int, colours: np.ndarray) -> None:
    """Write a packed board as a colour a cell, uint8 [16 * packed]."""
    for word in range(packed):
        bits = np.uint32(state[np.uint64(slot + word)])
        for cell in range(16):
            colour = (bits >> np.uint32(2 * cell)) & np.uint32(3)
            colours[np.uint64((word << 4) + cell)] = colour


@kernel
def _mark(flat: np.ndarray, first: int, colours: np.ndarray, colour: int, cells: int) -> None:
    """Write one plane: where a colour is."""
    wanted = np.uint8(colour)
    for cell in range(cells):
        flat[np.uint64(first + cell)] = colours[np.uint64(cell)] == wanted


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
