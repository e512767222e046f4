"""Gomoku, freestyle: five or more in a row win, on boards of 5 to 19 lines."""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from core.machine.random_numbers import random_below
from envs.games.game import Game
from envs.games.options import GomokuOptions
from envs.games.state import (
    DRAW,
    HEADER_WORDS,
    HEIGHT,
    MOVE_NUMBER,
    OUTCOME,
    TO_MOVE,
    end_turn,
    is_over,
    longest_line,
    start,
    winner_is,
)


@kernel
def new(state: np.ndarray, options: np.ndarray) -> None:
    """Start a game; options int32: size."""
    start(state, options[0], options[0])


@kernel
def play(state: np.ndarray, action: int) -> None:
    """Put a stone on an empty point."""
    player = state[TO_MOVE]
    state[HEADER_WORDS + action] = player + 1
    end_turn(state, action)
    if longest_line(state, action) >= 5:
        winner_is(state, player)
    elif state[MOVE_NUMBER] == state[HEIGHT] * state[HEIGHT]:
        state[OUTCOME] = DRAW


@kernel
def playout(state: np.ndarray, rng: np.ndarray, mask: np.ndarray) -> None:
    """Play uniformly to the end: draw cells until one is empty, which a large board makes quick."""
    cells = mask.size
    while not is_over(state):
        cell = random_below(rng, cells)
        if state[HEADER_WORDS + cell] == 0:
            play(state, cell)


GOMOKU = Game(
    name="gomoku",
    title="Gomoku",
    options=GomokuOptions,
    new=new,
    play=play,
    random_playout=playout,
)
