"""Many games at once: one call plays a move in each, and one fills what a network needs.

Legend: G games, A actions, C planes, H W board, S words of a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.machine.kernels import kernel
from core.machine.threads import Threads, shares_of
from envs.games.game import Game
from envs.games.state import OUTCOME, TO_MOVE, UNDECIDED, copy_state


@dataclass(frozen=True)
class BatchStep:
    """What came of a move in every game. The arrays are used again by the next step."""

    planes: np.ndarray
    """As the player to move sees the board, uint8 [G, C, H, W]; of the new game where one ended."""
    legal: np.ndarray
    """Legal actions, uint8 [G, A]."""
    to_move: np.ndarray
    """The player to move, int8 [G]."""
    ended: np.ndarray
    """Games that this move ended, bool [G]; a new one has begun in their place."""
    outcomes: np.ndarray
    """+1, 0, -1 for the first player of the games that ended, int8 [G]; else 0."""


@kernel
def _play_range(
    game: Any,
    states: np.ndarray,
    actions: np.ndarray,
    fresh: np.ndarray,
    ended: np.ndarray,
    outcomes: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Play in games [first, last); begin anew where one ends."""
    for index in range(first, last):
        state = states[index]
        ended[index] = False
        outcomes[index] = 0
        game.play(state, actions[index])
        if state[OUTCOME] != UNDECIDED:
            ended[index] = True
            outcomes[index] = state[OUTCOME]
            copy_state(fresh, state)


@kernel
def _view_range(
    game: Any,
    states: np.ndarray,
    planes: np.ndarray,
    legal: np.ndarray,
    to_move: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Fill planes and masks of games [first, last)."""
    for index in range(first, last):
        game.observe(states[index], planes[index])
        game.legal(states[index], legal[index])
        to_move[index] = states[index][TO_MOVE]


class GameBatch:
    """G games of one kind, each starting over when it ends."""

    def __init__(self, game: Game, options: Any, games: int, threads: int = 1) -> None:
        self.game, self.options, self.num_games = game, options, games
        self.num_actions = game.actions(options)
        self._fresh = game.initial_state(options)
        self.states = np.tile(self._fresh, (games, 1))
        """The positions, int32 [G, S]."""
        self._planes = np.zeros((games, game.planes, *options.shape), np.uint8)
        self._legal = np.zeros((games, self.num_actions), np.uint8)
        self._to_move = np.zeros(games, np.int8)
        self._ended = np.zeros(games, np.bool_)
        self._outcomes = np.zeros(games, np.int8)
        self._shares = shares_of(0, games, threads)
        self._threads = Threads(len(self._shares))

    def reset(self) -> BatchStep:
        """Begin all games anew."""
        self.states[:] = self._fresh
        self._ended[:] = False
        self._outcomes[:] = 0
        return self._view()

    def step(self, actions: np.ndarray) -> BatchStep:
        """Play a move in every game; actions int64 [G].

        Raises:
            ValueError: an action is not legal; nothing was played.
        """
        chosen = np.ascontiguousarray(actions, np.int64)
        if chosen.shape != (self.num_games,):
            raise ValueError(f"{self.num_games} games need as many actions, not {chosen.shape}")
        inside = (chosen >= 0) & (chosen < self.num_actions)
        allowed = inside & (self._legal[np.arange(self.num_games), chosen * inside] == 1)
        if not allowed.all():
            index = int(np.argmin(allowed))
            raise ValueError(f"action {chosen[index]} is not legal in game {index}")

        def play(first: int, last: int, thread: int) -> None:
            _play_range(
                self.game, self.states, chosen, self._fresh, self._ended, self._outcomes, first,
                last,
            )  # fmt: skip

        self._threads.run(play, self._shares)
        return self._view()

    def start_over(self, index: int) -> None:
        """Begin one game anew."""
        self.states[index] = self._fresh
        _view_range(
            self.game, self.states, self._planes, self._legal, self._to_move, index, index + 1
        )

    def restore(self, states: np.ndarray) -> None:
        """Go on from these positions, int32 [G, S]."""
        self.states[:] = states
        self._view()

    def close(self) -> None:
        """Stop the threads."""
        self._threads.close()

    def _view(self) -> BatchStep:
        def view(first: int, last: int, thread: int) -> None:
            _view_range(
                self.game, self.states, self._planes, self._legal, self._to_move, first, last
            )

        self._threads.run(view, self._shares)
        return BatchStep(self._planes, self._legal, self._to_move, self._ended, self._outcomes)
