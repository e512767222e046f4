"""A trained network that plays: search over several leaves a tick, the tree kept between moves.

Legend: A actions, H W board.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.zero.build import network_for
from agents.zero.config import ZeroConfig
from agents.zero.evaluator import NetworkEvaluator
from core.config import from_toml
from core.errors import UserError
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.learner import Arithmetic, load_weights
from core.machine.environment_facts import usable_cores
from core.machine.probe import resolve_device
from envs.games.game import Game
from envs.games.session import Session
from search.config import SearchConfig
from search.player import RESIGN, Judgement, Limits, Watcher, without_suicide
from search.tree_search import SearchResult, TreeSearch

_LEAVES = 8
_CHUNK_SECONDS = 0.05
_TREE_BYTES = 300e6
_BYTES_PER_EDGE = 28


@dataclass(frozen=True)
class ZeroPlayerOptions:
    """How a trained network plays."""

    visits: int = 400
    """Simulations a move, those of the kept tree counted."""
    seconds: float = 0.0
    """Stop a move after so many seconds; 0: no limit."""
    temperature: float = 0.0
    """0 plays the most visited move; 1 draws in proportion to visits, which is weaker."""
    resign: float = 0.0
    """Give up when the chance to win falls below this; 0: never."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.visits < 1 or self.seconds < 0 or self.temperature < 0:
            raise UserError("visits must be at least 1, seconds and temperature 0 or more")
        if not 0 <= self.resign < 0.5:
            raise UserError(f"resign must be from 0 to 0.5, got {self.resign}")


class ZeroPlayer:
    """Plays a game with the network of a run."""

    def __init__(self, run: Path, options: ZeroPlayerOptions, seed: int = 0, threads: int = 0):
        """Raises UserError if there is no such run, or it is of another agent."""
        folder = RunFolder.open(run)
        if folder.read_meta().get("agent") != "zero":
            raise UserError(f"{run} is a run of {folder.read_meta().get('agent')}, not of zero")
        config_file = f"{run}/config.toml"
        self.config: ZeroConfig = from_toml(ZeroConfig, folder.read_config(), config_file)
        # The newest: differences between late checkpoints are smaller than evaluations can tell.
        loaded = checkpoint.load(folder.checkpoints, keys=["network"])
        self.options, self.seed = options, seed
        self._weights, self._step = loaded.state["network"], loaded.step
        self._threads = threads or usable_cores()
        torch.set_num_threads(self._threads)
        self._arithmetic = Arithmetic(resolve_device(options.device), self._threads)
        self._rng = np.random.default_rng(seed)
        self._search: TreeSearch | None = None
        self._session_options: Any = None
        self._actions: list[tuple[int, int]] = []
        self._start = b""
        """The position from which the tree's actions were played."""

    @property
    def name(self) -> str:
        """What to call it in game records."""
        limit = f"{self.options.seconds:g} s" if self.options.seconds else self.options.visits
        return f"Zero {self._step} {limit}"

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
        """Stones on cells that the network gives to the other side."""
        if session.game.name != "go":
            return None
        from envs.games.go.estimate import dead_cells

        return dead_cells(session.state)

    def check(self, game: Game, options: Any) -> None:
        """It plays the game it was trained on, on boards that its network takes."""
        self._searcher(Session(game, options))

    def close(self) -> None:
        """Stop the threads."""
        if self._search is not None:
            self._search.close()

    # ---------------------------------------------------------------- inside

    def _searcher(self, session: Session) -> TreeSearch:
        """The search for this board and these rules."""
        if session.game.name != self.config.game:
            raise UserError(f"this network plays {self.config.env}, not {session.game.title}")
        if self._search is None or self._session_options != session.options:
            network = network_for(self.config, session.game, session.options)
            load_weights(network, self._weights)
            self.evaluator = NetworkEvaluator(network, self._arithmetic)
            actions = session.game.actions(session.options)
            most = int(_TREE_BYTES / (_BYTES_PER_EDGE * actions))
            wanted = 2 * self.options.visits + 2
            if self.options.seconds:
                wanted = most
            config = SearchConfig(
                root="puct", forced_playouts=0.0, exploration=self.config.search.exploration
            )
            self._search = TreeSearch(
                session.game, session.options, 1, config, self.evaluator,
                max_simulations=max(64, min(most, wanted)), leaves=_LEAVES, threads=1,
                seed=self.seed,
            )  # fmt: skip
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
            for _, action in actions[known:]:
                search.advance(np.array([action]))
        else:
            search.forget()
        self._actions, self._start = list(actions), start
        forest = search.forest
        kept = int(forest.node_visits[0, 0]) - 1 if forest.num_nodes[0] else 0
        right = forest.num_nodes[0] == 0 or forest.to_move[0, 0] == session.to_move
        if not right or kept > search.max_simulations // 2:
            search.forget()
            return 0
        return kept

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
            lambda: self._ownership(session),
        )  # fmt: skip

    def _ownership(self, session: Session) -> np.ndarray:
        """Expected owner of each cell, +1 the player to move, float64 [H * W]."""
        given = np.array([session.game.handicap(session.state)], np.int32)
        planes = session.observation()[None]
        owners: np.ndarray = self.evaluator.ownership(planes, given)[0].ravel().astype(np.float64)
        return owners

    def _decide(self, session: Session, judgement: Judgement) -> Judgement:
        """Draw by temperature, or give up."""
        if self.options.resign and judgement.win_rate < self.options.resign:
            return replace(judgement, action=RESIGN)
        if self.options.temperature > 0 and judgement.visits.sum() > 0:
            with np.errstate(divide="ignore"):
                logs = np.log(judgement.visits) / self.options.temperature
            action = int(np.argmax(logs + self._rng.gumbel(size=len(logs))))
            action = without_suicide(session, action, judgement.visits, judgement.values)
            return replace(judgement, action=action, value=float(judgement.values[action]))
        return judgement
