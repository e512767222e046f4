"""A trained network that plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from core.files.tensor_file import digest
from core.learner import Arithmetic, load_weights
from core.machine.environment_facts import usable_cores
from core.machine.probe import resolve_device
from envs.games.game import Game
from envs.games.session import Session
from search.config import SearchConfig
from search.tree_player import LEAVES, TreePlayer, TreePlayerOptions
from search.tree_search import TreeSearch


@dataclass(frozen=True)
class ZeroPlayerOptions(TreePlayerOptions):
    """How a trained network plays."""

    device: str = "cpu"


class ZeroPlayer(TreePlayer):
    """Plays a game with the network of a run."""

    def __init__(self, run: Path, options: ZeroPlayerOptions, seed: int = 0, threads: int = 0):
        """Raises UserError if there is no such run, or it is of another agent."""
        super().__init__(options, seed)
        folder = RunFolder.open(run)
        if folder.read_meta().get("agent") != "zero":
            raise UserError(f"{run} is a run of {folder.read_meta().get('agent')}, not of zero")
        config_file = f"{run}/config.toml"
        self.config: ZeroConfig = from_toml(ZeroConfig, folder.read_config(), config_file)
        # The newest: differences between late checkpoints are smaller than evaluations can tell.
        loaded = checkpoint.load(folder.checkpoints, keys=["network"])
        self.weights, self._step = loaded.state["network"], loaded.step
        self._threads = threads or usable_cores()
        torch.set_num_threads(self._threads)
        self._arithmetic = Arithmetic(resolve_device(options.device), self._threads)

    @property
    def name(self) -> str:
        """What to call it in game records."""
        limit = f"{self.options.seconds:g} s" if self.options.seconds else self.options.visits
        return f"Zero {self._step} {limit}"

    def make_search(
        self, game: Game, options: Any, simulations: int, games: int = 1, leaves: int = LEAVES,
        threads: int = 1,
    ) -> TreeSearch:  # fmt: skip
        """The search with the run's network."""
        network = network_for(self.config, game, options)
        load_weights(network, self.weights)
        self.evaluator = NetworkEvaluator(network, self._arithmetic)
        config = SearchConfig(
            root="puct", forced_playouts=0.0, exploration=self.config.search.exploration
        )
        return TreeSearch(
            game, options, games, config, self.evaluator,
            max_simulations=simulations, leaves=leaves, threads=threads, seed=self.seed,
        )  # fmt: skip

    def digests(self) -> list[str]:
        """Of the network."""
        return [digest(self.weights)]

    def _searcher(self, session: Session) -> TreeSearch:
        if session.game.name != self.config.game:
            raise UserError(f"this network plays {self.config.env}, not {session.game.title}")
        return super()._searcher(session)

    def _ownership(self, session: Session) -> Callable[[], np.ndarray]:
        """Asks the network."""

        def ask() -> np.ndarray:
            given = np.array([session.game.handicap(session.state)], np.int32)
            planes = session.observation()[None]
            owners: np.ndarray = self.evaluator.ownership(planes, given)[0].ravel()
            return owners.astype(np.float64)

        return ask
