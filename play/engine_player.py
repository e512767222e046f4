"""A GTP engine as a player: it is told the game so far, and asked for a move."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.errors import UserError
from envs.games.game import Game
from envs.games.notation import cell_name
from envs.games.session import Session
from play.engine import Engine, EngineError, EngineRefusal
from play.rules import of_ruleset
from search.player import RESIGN, Judgement, Limits, Watcher

COLOURS = ("black", "white")


class Disagreement(UserError):
    """The engine calls illegal what the rules of the game allow: nobody's fault by itself."""


class EnginePlayer:
    """Drives a GTP engine; only Go has a protocol that engines share."""

    def __init__(self, command: str | Sequence[str], seconds: float = 60.0) -> None:
        """Start the engine; `seconds` is how long it may take for an answer."""
        self.engine = Engine(command, seconds)
        try:
            self._name = " ".join(self.engine.send("name").split())
        except EngineRefusal:
            self._name = self.engine.command[0]
        self._told: list[tuple[int, int]] | None = None
        self._start = b""

    @property
    def name(self) -> str:
        """The engine's own name."""
        return self._name

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        """Ask the engine for a move. The limits are its own.

        Raises:
            EngineError: it is gone, too slow, or its answer is no move.
            UserError: some moves are not allowed; there is no common way to tell an engine.
            Disagreement: it refuses a move that was played.
        """
        allowed = None if limits is None else limits.allowed
        if allowed is not None and set(np.flatnonzero(session.legal_mask())) - allowed:
            raise UserError(f"{self.name} cannot be told which moves to avoid")
        self.tell(session)
        answer = self.engine.send(f"genmove {COLOURS[session.to_move]}").strip()
        actions = session.game.actions(session.options)
        if answer.lower() == "resign":
            action, self._told = RESIGN, None
        else:
            try:
                action = session.action_of(answer)
            except UserError as error:
                raise EngineError(f"{self.name} answered genmove with {answer!r}") from error
            assert self._told is not None
            self._told.append((session.to_move, action))
        visits = np.zeros(actions, np.int64)
        if action >= 0:
            visits[action] = 1
        variation = () if action == RESIGN else (action,)
        return Judgement(action, 0.0, visits, np.full(actions, np.nan), variation=variation)

    def tell(self, session: Session) -> None:
        """Bring the engine's board to the session's position, by the shortest way."""
        if session.game.name != "go":
            raise UserError(f"{self.name} speaks GTP, which plays Go and not {session.game.title}")
        start = session.first_state().tobytes()
        if (
            self._told is None
            or self._start != start
            or session.actions[: len(self._told)] != (self._told)
        ):
            self._told = None
            self._set_up(session)
            self._start, self._told = start, []
        assert self._told is not None
        for player, action in session.actions[len(self._told) :]:
            try:
                self.engine.send(f"play {COLOURS[player]} {session.name_of(action)}")
            except EngineRefusal as refusal:
                raise Disagreement(f"{self.name}: {refusal}") from refusal
            self._told.append((player, action))

    def _set_up(self, session: Session) -> None:
        """Clear the engine's board; give it komi and the stones the game began with."""
        options, size = session.options, session.options.size
        self.engine.send(f"boardsize {size}")
        self.engine.send("clear_board")
        knows_rules, rules = self._knows("kata-set-rules"), options.rules
        if knows_rules:
            # KataGo's way to say the rules, and ours; others are told on their command line.
            try:
                self.engine.send(f"kata-set-rules {of_ruleset(rules).as_json()}")
            except EngineRefusal as refusal:
                raise UserError(f"{self.name} does not play by {rules} rules: {refusal}") from None
        first = Session(session.game, options, session.first_state())
        if knows_rules and options.handicap:
            # By these rules the engine itself gives White points for the stones.
            self.engine.send(f"komi {options.komi:g}")
            stones = [cell_name(int(c), size, size) for c in np.flatnonzero(first.cells())]
            self.engine.send(f"set_free_handicap {' '.join(stones)}")
            return
        self.engine.send(f"komi {options.compensation:g}")
        for cell in np.flatnonzero(first.cells()):
            colour = COLOURS[int(first.cells().flat[cell]) - 1]
            self.engine.send(f"play {colour} {cell_name(int(cell), size, size)}")

    def _knows(self, command: str) -> bool:
        try:
            return self.engine.send(f"known_command {command}") == "true"
        except EngineRefusal:
            return False

    def new_game(self, seed: int) -> None:
        """The next game begins on a clear board, and with a new engine where the old one is lost;
        an engine has random numbers of its own.
        """
        self._told = None
        if self.engine.is_lost:
            self.engine.close()
            self.engine = Engine(self.engine.command, self.engine.seconds)

    def check(self, game: Game, options: Any) -> None:
        """It plays Go on the boards that it has."""
        self.tell(Session(game, options))

    def accepts(self, session: Session) -> bool:
        """Whether it calls every move of a game legal."""
        try:
            self.tell(session)
        except Disagreement:
            return False
        return True

    def dead_stones(self, session: Session) -> set[int] | None:
        """Cells of the stones that the engine thinks dead; None if it will not say."""
        self.tell(session)
        try:
            text = self.engine.send("final_status_list dead")
        except EngineRefusal:
            return None
        named = {session.action_of(word) for word in text.split()}
        return {cell for cell in named if session.cells().ravel()[cell : cell + 1].any()}

    def final_score(self, session: Session) -> str:
        """The score in the engine's eyes, such as B+3.5."""
        self.tell(session)
        return self.engine.send("final_score")

    def close(self) -> None:
        """End the engine."""
        with contextlib.suppress(EngineError):
            self.engine.close()
