"""Connect Four: stones drop into seven columns; four in a row win (Allen 1988, Allis 1988)."""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from envs.games.game import Game
from envs.games.options import ConnectFourOptions
from envs.games.state import (
    DRAW,
    HEADER_WORDS,
    MOVE_NUMBER,
    OUTCOME,
    TO_MOVE,
    end_turn,
    longest_line,
    start,
    winner_is,
)

ROWS, COLUMNS = 6, 7


@kernel
def new(state: np.ndarray, options: np.ndarray) -> None:
    """Start a game; there are no options."""
    start(state, ROWS, COLUMNS)


@kernel
def legal(state: np.ndarray, mask: np.ndarray) -> None:
    """Columns whose top cell is free, uint8 [7]."""
    for column in range(COLUMNS):
        mask[column] = state[HEADER_WORDS + column] == 0


@kernel
def play(state: np.ndarray, action: int) -> None:
    """Drop a stone into a column."""
    player = state[TO_MOVE]
    cell = (ROWS - 1) * COLUMNS + action
    while state[HEADER_WORDS + cell] != 0:
        cell -= COLUMNS
    state[HEADER_WORDS + cell] = player + 1
    end_turn(state, action)
    if longest_line(state, cell) >= 4:
        winner_is(state, player)
    elif state[MOVE_NUMBER] == ROWS * COLUMNS:
        state[OUTCOME] = DRAW


CONNECT_FOUR = Game(
    name="connect-four",
    title="Connect Four",
    options=ConnectFourOptions,
    new=new,
    legal=legal,
    play=play,
    actions=lambda options: COLUMNS,
    symmetry="mirror",
    naming="columns",
    players=("Yellow", "Red"),
)
