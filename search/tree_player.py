"""A player that searches: several leaves a tick, within limits, the tree kept between moves.

Legend: A actions, H W board.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.errors import UserError
from envs.games.game import Game
from envs.games.session import Session
from search.player import RESIGN, Judgement, Limits, Watcher, without_suicide
from search.tree_search import SearchResult, TreeSearch

LEAVES = 8
"""Evaluated together."""
_CHUNK_SECONDS = 0.05
_TREE_BYTES = 300e6
"""The largest tree; memory is taken as it grows."""
_BYTES_PER_EDGE = 28


@dataclass(frozen=True)
class TreePlayerOptions:
    """How long it searches, and how it chooses."""

    visits: int = 400
    """Simulations a move, those of the kept tree counted."""
    seconds: float = 0.0
    """Stop a move after so many seconds; 0: no limit."""
    temperature: float = 0.0
    """0 plays the most visited move; 1 draws in proportion to visits, which is weaker."""
    resign: float = 0.0
    """Give up when the chance to win falls below this; 0: never."""

    def __post_init__(self) -> None:
        if self.visits < 1 or self.seconds < 0 or self.temperature < 0:
            raise UserError("visits must be at least 1, seconds and temperature 0 or more")
        if not 0 <= self.resign < 0.5:
            raise UserError(f"resign must be from 0 to 0.5, got {self.resign}")


class TreePlayer:
    """Plays with a search that a subclass makes, for the board and the rules of a session."""

    def __init__(self, options: TreePlayerOptions, seed: int) -> None:
        self.options, self.seed = options, seed
        self._rng = np.random.default_rng(seed)
        self._search: TreeSearch | None = None
        self._session_options: Any = None
        self._actions: list[tuple[int, int]] = []
        self._start = b""
        """The position from which the tree's actions were played."""

    @property
    def searches(self) -> bool:
        """Whether it looks ahead at all; else its priors choose."""
        return True

    def make_search(
        self, game: Game, options: Any, simulations: int, games: int = 1, leaves: int = LEAVES,
        threads: int = 1,
    ) -> TreeSearch:  # fmt: skip
        """A search of so many games at once, with room for so many simulations in each. Raises
        UserError where it cannot play this game on this board."""
        raise NotImplementedError

    def digests(self) -> list[str]:
        """What tells its weights from others, part by part."""
        raise NotImplementedError

    def _ownership(self, session: Session) -> Callable[[], np.ndarray] | None:
        """Asks for the expected owner of each cell, +1 the player to move, float64 [H * W]."""
        return None

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        """Search the position."""
        search = self._searcher(session)
        visits, seconds = self._limits(limits)
        began = time.monotonic()
        allowed = None if limits is None else limits.allowed
        mask = None
        if allowed is not None:
            self._actions = []  # this tree is for nothing else
            search.forget()
            mask = np.isin(np.arange(search.num_actions), list(allowed))[None].astype(np.uint8)
        kept = self._keep_tree(session, search) if allowed is None else 0
        visits = max(kept + 1, min(visits, search.max_simulations - 1))
        done, chunk = kept, min(16, visits - kept)
        while True:
            before = time.monotonic()
            chunk = min(chunk, visits - done)
            result = search.run(session.state[None], chunk, keep_trees=True, allowed=mask)
            done += chunk
            now = time.monotonic()
            left = began + seconds - now
            judgement = self._judgement(session, search, result, began)
            if done >= visits or left <= 0 or (watch and not watch(judgement)):
                return self._decide(session, judgement)
            rate = chunk / max(now - before, 1e-6)
            chunk = max(1, min(2 * chunk, int(rate * min(left, _CHUNK_SECONDS))))

    def new_game(self, seed: int) -> None:
        """Forget the tree; draw from another random stream."""
        self._actions, self._rng = [], np.random.default_rng(seed)
        if self._search is not None:
            self._search.forget()

    def dead_stones(self, session: Session) -> set[int] | None:
        """Stones that random playouts take off more often than not."""
        if session.game.name != "go":
            return None
        from envs.games.go.estimate import dead_cells

        return dead_cells(session.state)

    def check(self, game: Game, options: Any) -> None:
        """It plays what its networks were trained on."""
        self._searcher(Session(game, options))

    def close(self) -> None:
        """Stop the threads."""
        if self._search is not None:
            self._search.close()

    # ---------------------------------------------------------------- inside

    def _searcher(self, session: Session) -> TreeSearch:
        """The search for this board and these rules."""
        if self._search is None or self._session_options != session.options:
            actions = session.game.actions(session.options)
            room = int(_TREE_BYTES / (_BYTES_PER_EDGE * actions))
            self._search = self.make_search(session.game, session.options, room)
            self._session_options, self._actions = session.options, []
        return self._search

    def _limits(self, limits: Limits | None) -> tuple[int, float]:
        """Visits and seconds of this move."""
        own = self.options
        if limits is None or not limits.are_set:
            limits = Limits(None if own.seconds else own.visits, own.seconds or None)
        visits = 1 << 30 if limits.playouts is None else limits.playouts
        return visits, np.inf if limits.seconds is None else limits.seconds

    def _keep_tree(self, session: Session, search: TreeSearch) -> int:
        """Go down the kept tree by the moves played since; return the visits that are kept."""
        known, actions = len(self._actions), session.actions
        start = session.first_state().tobytes()
        if known and actions[:known] == self._actions and start == self._start:
            for player, action in actions[known:]:
                self._forget_unless(search, player)
                search.advance(np.array([action]))
        else:
            search.forget()
        self._actions, self._start = list(actions), start
        self._forget_unless(search, session.to_move)
        forest = search.forest
        return int(forest.nodes["visits"][0, 0]) - 1 if forest.num_nodes[0] else 0

    @staticmethod
    def _forget_unless(search: TreeSearch, player: int) -> None:
        """Drop a tree in which it is another's turn: over GTP either may move at any time."""
        forest = search.forest
        if forest.num_nodes[0] and forest.nodes["to_move"][0, 0] != player:
            search.forget()

    def _judgement(
        self, session: Session, search: TreeSearch, result: SearchResult, began: float
    ) -> Judgement:
        seconds = time.monotonic() - began
        visits = result.visits[0].astype(np.int64)
        action = without_suicide(session, int(result.actions[0]), visits, result.values[0])
        value = float(np.nan_to_num(result.values[0, action], nan=float(result.root_values[0])))
        return Judgement(
            action, value, visits, result.values[0].astype(np.float64),
            result.priors[0].astype(np.float64), tuple(a for a, _ in search.variation(0, action)),
            seconds,
            {"visits": float(visits.sum()), "visits/s": visits.sum() / max(seconds, 1e-9)},
            lambda action: search.variation(0, action),
            self._ownership(session),
        )  # fmt: skip

    def _decide(self, session: Session, judgement: Judgement) -> Judgement:
        """Draw by temperature, or give up."""
        if self.options.resign and judgement.win_rate < self.options.resign:
            return replace(judgement, action=RESIGN)
        if self.options.temperature > 0 and judgement.visits.sum() > 0:
            action = draw_by_visits(judgement.visits, self.options.temperature, self._rng)
            action = without_suicide(session, action, judgement.visits, judgement.values)
            return replace(judgement, action=action, value=float(judgement.values[action]))
        return judgement


def draw_by_visits(visits: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """An action in proportion to visits^(1 / temperature), [A]."""
    with np.errstate(divide="ignore"):
        logs = np.log(visits) / temperature
    return int(np.argmax(logs + rng.gumbel(size=len(logs))))
