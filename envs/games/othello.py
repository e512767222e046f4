"""Othello: a stone turns over what it brackets; who cannot, passes; more stones win."""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from envs.games.game import Game
from envs.games.options import OthelloOptions
from envs.games.state import (
    DRAW,
    HEADER_WORDS,
    HEIGHT,
    LOSS,
    OUTCOME,
    TO_MOVE,
    WIN,
    end_turn,
    start,
)

_DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


@kernel
def new(state: np.ndarray, options: np.ndarray) -> None:
    """Start a game; options int32: size. White has the upper left of the four stones."""
    size = options[0]
    start(state, size, size)
    upper_left = HEADER_WORDS + (size // 2 - 1) * size + size // 2 - 1
    state[upper_left] = state[upper_left + size + 1] = 2
    state[upper_left + 1] = state[upper_left + size] = 1


@kernel
def _bracketed(state: np.ndarray, cell: int, colour: int, down: int, right: int) -> int:
    """Number of stones that a stone at a cell turns over in one direction."""
    size = state[HEIGHT]
    row, column, count = cell // size + down, cell % size + right, 0
    while 0 <= row < size and 0 <= column < size:
        found = state[HEADER_WORDS + row * size + column]
        if found == colour:
            return count
        if found == 0:
            return 0
        row, column, count = row + down, column + right, count + 1
    return 0


@kernel
def _may_play(state: np.ndarray, cell: int, colour: int) -> bool:
    """Tell whether a stone there turns anything over."""
    if state[HEADER_WORDS + cell] != 0:
        return False
    for down, right in _DIRECTIONS:
        if _bracketed(state, cell, colour, down, right) > 0:
            return True
    return False


@kernel
def _has_move(state: np.ndarray, colour: int) -> bool:
    """Tell whether a colour may play anywhere."""
    for cell in range(state[HEIGHT] * state[HEIGHT]):
        if _may_play(state, cell, colour):
            return True
    return False


@kernel
def legal(state: np.ndarray, mask: np.ndarray) -> None:
    """Mark the cells that turn something over, uint8 [H * W + 1]; the pass if there is none."""
    cells = mask.size - 1
    none = True
    for cell in range(cells):
        mask[cell] = _may_play(state, cell, state[TO_MOVE] + 1)
        none &= mask[cell] == 0
    mask[cells] = none


@kernel
def play(state: np.ndarray, action: int) -> None:
    """Put a stone and turn over what it brackets, or pass; the game ends when nobody can move."""
    size = state[HEIGHT]
    colour = state[TO_MOVE] + 1
    if action < size * size:
        for down, right in _DIRECTIONS:
            for distance in range(1, _bracketed(state, action, colour, down, right) + 1):
                state[HEADER_WORDS + action + distance * (down * size + right)] = colour
        state[HEADER_WORDS + action] = colour
    end_turn(state, action)
    if not _has_move(state, 3 - colour) and not _has_move(state, colour):
        margin = score(state)
        state[OUTCOME] = WIN if margin > 0 else (LOSS if margin < 0 else DRAW)


@kernel
def score(state: np.ndarray) -> int:
    """Black's stones less White's, in halves."""
    margin = 0
    for cell in range(state[HEIGHT] * state[HEIGHT]):
        found = state[HEADER_WORDS + cell]
        margin += (found == 1) - (found == 2)
    return 2 * margin


OTHELLO = Game(
    name="othello",
    title="Othello",
    options=OthelloOptions,
    new=new,
    play=play,
    legal=legal,
    score=score,
    actions=lambda options: options.size**2 + 1,
    has_pass=True,
)
