"""Tic-tac-toe: three in a row on nine cells. Played well by both it is a draw."""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from envs.games.game import Game
from envs.games.options import TicTacToeOptions
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


@kernel
def new(state: np.ndarray, options: np.ndarray) -> None:
    """Start a game; there are no options."""
    start(state, 3, 3)


@kernel
def play(state: np.ndarray, action: int) -> None:
    """Put a stone on an empty cell."""
    player = state[TO_MOVE]
    state[HEADER_WORDS + action] = player + 1
    end_turn(state, action)
    if longest_line(state, action) >= 3:
        winner_is(state, player)
    elif state[MOVE_NUMBER] == 9:
        state[OUTCOME] = DRAW


TIC_TAC_TOE = Game(
    name="tic-tac-toe",
    title="Tic-tac-toe",
    options=TicTacToeOptions,
    new=new,
    play=play,
    players=("Crosses", "Noughts"),
)
