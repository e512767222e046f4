"""The position behind GTP: Go that clients may rewind, re-komi and play out of turn."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np

from core.errors import UserError
from envs.games.go import rules
from envs.games.go.board import (
    BLACK_PRISONERS,
    COMPENSATION,
    KO_RULE,
    MOVE_LIMIT,
    SUICIDE,
    WHITE_PRISONERS,
)
from envs.games.go.features import copy_cells, ownership
from envs.games.go.game import GO
from envs.games.options import (
    KO_RULES,
    MOST_MOVES,
    RULESETS,
    GoOptions,
    RulesetName,
    fixed_handicap,
)
from envs.games.session import Session
from envs.games.state import MOVE_NUMBER, TO_MOVE
from play.gtp.protocol import GtpError


class GtpBoard:
    """A session of Go with what GTP may do to it."""

    def __init__(self, options: GoOptions) -> None:
        self.options = options
        self._move_limit = options.move_limit
        self.session = Session(GO, options)
        self._put_the_limit_off()

    @property
    def size(self) -> int:
        """Lines of the board."""
        return self.options.size

    def clear(self, **changes: Any) -> None:
        """Start anew, perhaps on another board.

        Raises:
            UserError: such a board there is not; the old position stays.
        """
        fresh = {"handicap": 0, "move_limit": self._move_limit}
        self.options = dataclasses.replace(self.options, **{**fresh, **changes})
        self.session = Session(GO, self.options)
        self._put_the_limit_off()

    def set_rules(self, ruleset: RulesetName) -> None:
        """Play on under other rules; position, history, undo and komi stay.

        Raises:
            GtpError: a move of the game would have been illegal; the rules stay.
        """
        options = dataclasses.replace(self.options, rules=ruleset)
        first = self.session.first_state().copy()
        cells, ko = np.zeros(self.size**2, np.int8), RULESETS[ruleset].ko
        copy_cells(first, cells)
        first[KO_RULE], first[SUICIDE] = KO_RULES.index(ko), RULESETS[ruleset].suicide
        first[COMPENSATION] = round(2 * options.compensation)
        rules.set_position(first, cells, int(first[TO_MOVE]))
        session = Session(GO, options, first)
        for number, (player, action) in enumerate(self.session.actions, start=1):
            try:
                _play(session, player, action)
            except UserError:
                raise GtpError(f"move {number} of this game is illegal under {ruleset}") from None
        rules.give_turn(session.state, self.session.to_move)
        self.options, self.session = options, session

    def set_komi(self, komi: float) -> None:
        """Change White's compensation; the position stays."""
        self.options = dataclasses.replace(self.options, komi=komi)
        self.session.options = self.options
        for state in self.session.states():
            state[COMPENSATION] = round(2 * self.options.compensation)

    def play(self, player: int, name: str) -> None:
        """Play a move for either player.

        Raises:
            GtpError: it is illegal, or no vertex; the position stays.
        """
        try:
            action = self.session.action_of(name)
        except UserError:
            raise GtpError("syntax error") from None
        self.play_action(player, action)

    def play_action(self, player: int, action: int) -> None:
        """Play an action for either player; GtpError if it is illegal."""
        try:
            _play(self.session, player, action)
        except UserError:
            raise GtpError("illegal move") from None
        self._put_the_limit_off()

    def _put_the_limit_off(self) -> None:
        """Keep the end of the game by its number of moves out of sight: GTP has none.

        A position whose history has room for more moves is longer; up to 10,000 moves.
        """
        points, limit = self.size**2, self.options.limit
        moves = int(self.session.state[MOVE_NUMBER])
        if limit > moves + 2 * points or limit == MOST_MOVES:
            return
        later = min(MOST_MOVES, max(limit, moves) + 3 * points + 50)
        options = dataclasses.replace(self.options, move_limit=later)

        def lengthen(state: np.ndarray) -> np.ndarray:
            longer = np.zeros(GO.words(options), np.int32)
            longer[: state.size] = state
            longer[MOVE_LIMIT] = options.limit
            return longer

        self.options = options
        self.session.replace_states(options, lengthen)

    def undo(self) -> None:
        """Take the last move back; GtpError if there is none."""
        try:
            self.session.undo()
        except UserError:
            raise GtpError("cannot undo") from None

    def place_handicap(self, cells: list[int]) -> None:
        """Put Black's stones on an empty board; White moves first."""
        board = np.zeros((self.size, self.size), np.int8)
        board.flat[cells] = 1
        self.set_position(board, to_move=1)

    def set_position(self, board: np.ndarray, to_move: int, handicap: int | None = None) -> None:
        """Start from given stones, int8 [H, W]; GtpError if a chain has no liberty.

        White is compensated for `handicap` stones; None: for Black's, where only Black has some and
        more than one, as KataGo counts them.
        """
        if handicap is None:
            black, white = int((board == 1).sum()), int((board == 2).sum())
            handicap = black if black > 1 and not white else 0
        options = dataclasses.replace(self.options, handicap=handicap)
        state = self._empty_board()
        if not rules.set_position(state, board.ravel(), to_move):
            raise GtpError("a chain has no liberty")
        state[COMPENSATION] = round(2 * options.compensation)
        self.options, self.session = options, Session(GO, options, state)

    def _empty_board(self) -> np.ndarray:
        """The board without stones, int32 [words]."""
        return GO.initial_state(dataclasses.replace(self.options, handicap=0))

    def fixed_handicap(self, stones: int) -> list[int]:
        """Place the stones of section 4.1.1; return their cells."""
        try:
            cells = fixed_handicap(self.size, stones)
        except UserError:
            raise GtpError("invalid number of stones") from None
        self.place_handicap(cells)
        return cells

    def stones_ahead(self) -> int:
        """Stones that Black placed more than White, those that were taken too."""
        state, cells = self.session.state, self.session.cells()
        black = int((cells == 1).sum()) + int(state[BLACK_PRISONERS])
        return black - int((cells == 2).sum()) - int(state[WHITE_PRISONERS])

    @property
    def is_empty(self) -> bool:
        """Whether no stone is on the board."""
        return not self.session.cells().any()

    def owners(self, without: set[int]) -> np.ndarray:
        """Who owns each cell when some stones are taken off as dead, int8 [H, W]."""
        left = self._empty_board()
        rules.set_position(left, self.bare(without), 0)
        owners = np.zeros(self.size**2, np.int8)
        ownership(left, owners)
        return owners.reshape(self.size, self.size)

    def bare(self, without: set[int]) -> np.ndarray:
        """The stones that stay when some are taken off, int8 [H * W]."""
        board = self.session.cells().ravel()
        board[sorted(without)] = 0
        return board

    def turned_to(self, player: int) -> Session:
        """The session itself if it is that player's turn, else a copy in which it is."""
        if self.session.to_move == player and not self.session.is_over:
            return self.session
        turned = copy.copy(self.session)
        turned.state = self.session.state.copy()
        rules.resume(turned.state)
        rules.give_turn(turned.state, player)
        return turned


def _play(session: Session, player: int, action: int) -> None:
    """Play for either player; GTP has no end of the game: play goes on after two passes."""

    def prepare(state: np.ndarray) -> None:
        rules.resume(state)
        rules.give_turn(state, player)

    session.play(action, prepare)
