"""One game in progress: a position that can be played on, taken back and named.

Front ends (terminal, GTP, PettingZoo, matches) share it, so a move means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from core.errors import UserError
from envs.games.game import Game
from envs.games.notation import action_name, parse_action
from envs.games.state import FIRST, LAST_ACTION, OUTCOME, TO_MOVE, UNDECIDED


class IllegalMove(UserError):
    """The rules forbid this move."""


class Session:
    """A game, its options, the position and every position before it."""

    def __init__(self, game: Game, options: Any, state: np.ndarray | None = None) -> None:
        """Start a game, or go on from `state`, int32 [words], which is copied."""
        self.game = game
        self.options = options
        self.state = game.initial_state(options) if state is None else state.copy()
        self._earlier: list[np.ndarray] = []
        self.actions: list[tuple[int, int]] = []
        """(player, action) of every move so far."""

    @property
    def to_move(self) -> int:
        """The player to move: 0 the first, 1 the second."""
        return int(self.state[TO_MOVE])

    @property
    def is_over(self) -> bool:
        """Whether the game has an outcome."""
        return bool(self.state[OUTCOME] != UNDECIDED)

    @property
    def outcome(self) -> int:
        """+1, 0, -1 for the first player; 2 while the game goes on."""
        return int(self.state[OUTCOME])

    def legal_mask(self) -> np.ndarray:
        """Legal actions, uint8 [A]; none once the game is over."""
        mask = np.zeros(self.game.actions(self.options), np.uint8)
        if not self.is_over:
            self.game.legal(self.state, mask)
        return mask

    def play(self, action: int, prepare: Callable[[np.ndarray], None] | None = None) -> None:
        """Play for the player to move; `prepare` may change the position first, such as the turn.

        Raises:
            IllegalMove: the rules forbid it, or the game is over; the position stays.
        """
        before = self.state.copy()
        if prepare is not None:
            prepare(self.state)
        mask = self.legal_mask()
        if not 0 <= action < len(mask) or not mask[action]:
            over = self.is_over
            self.state[:] = before
            raise IllegalMove(
                "the game is over" if over else f"{self.name_of(action)} is not a legal move here"
            )
        self._earlier.append(before)
        self.actions.append((self.to_move, int(action)))
        self.game.play(self.state, action)

    def undo(self) -> None:
        """Take the last move back.

        Raises:
            UserError: there is none.
        """
        if not self._earlier:
            raise UserError("there is no move to take back")
        self.state = self._earlier.pop()
        self.actions.pop()

    def states(self) -> list[np.ndarray]:
        """Every position of the game, the newest last, int32 [words] each; not copies."""
        return [*self._earlier, self.state]

    def replace_states(self, options: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Go on under other options, with every position of the game changed."""
        self.options = options
        self._earlier = [change(state) for state in self._earlier]
        self.state = change(self.state)

    def first_state(self) -> np.ndarray:
        """The position the game began with, int32 [words]."""
        return self._earlier[0] if self._earlier else self.state

    def cells(self) -> np.ndarray:
        """The board, int8 [H, W]: 0 empty, 1 first player, 2 second player."""
        cells = np.zeros(int(np.prod(self.options.shape)), np.int8)
        self.game.cells(self.state, cells)
        return cells.reshape(self.options.shape)

    def observation(self, player: int | None = None) -> np.ndarray:
        """The planes as a player sees them, by default the one to move, uint8 [C, H, W]."""
        planes = np.zeros((self.game.planes, *self.options.shape), np.uint8)
        state = self.state
        if player is not None and player != self.to_move:
            state = state.copy()
            state[TO_MOVE] = player
        self.game.observe(state, planes)
        return planes

    def last_cell(self) -> int | None:
        """The cell that the last move filled; None after a pass and before the first move."""
        action = int(self.state[LAST_ACTION])
        if action < 0 or (self.game.has_pass and action == self.game.actions(self.options) - 1):
            return None
        if self.game.naming == "columns":
            column = self.cells()[:, action]
            return int(np.argmax(column != 0)) * self.options.shape[1] + action
        return action if self.game.naming == "points" else None

    def margin(self) -> float:
        """The first player's lead in points as the position stands."""
        return int(self.game.score(self.state)) / 2

    def name_of(self, action: int) -> str:
        """Name an action."""
        if not 0 <= action < self.game.actions(self.options):
            return f"action {action}"
        return action_name(self.game, self.options, action)

    def action_of(self, text: str) -> int:
        """Return the action of a name; UserError if there is none."""
        return parse_action(self.game, self.options, text)

    def result(self) -> str:
        """The result as SGF and GTP write it: B+3.5, W+0.5, 0; for other games B+, W+, 0."""
        margin = self.margin() if self.is_over else 0.0
        side = "B" if margin > 0 else "W"
        if margin == 0:
            return "0"
        return f"{side}+{abs(margin):g}" if self.game.counts_points else f"{side}+"

    def player_name(self, player: int) -> str:
        """What this game calls a player."""
        return self.game.players[0 if player == FIRST else 1]
