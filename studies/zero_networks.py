"""The networks of a run of Zero, ready to search with: the newest and its pool of earlier ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agents.zero.build import build_network
from agents.zero.config import ZeroConfig
from agents.zero.evaluator import NetworkEvaluator
from core.config import from_toml
from core.errors import UserError
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.learner import Arithmetic, load_weights
from core.machine.environment_facts import environment_facts, usable_cores
from envs.games.game import Game
from envs.games.registry import load_game


@dataclass(frozen=True)
class TrainedZero:
    """What a run of Zero holds."""

    config: ZeroConfig
    game: Game
    options: Any
    step: int
    """Agent steps of the newest network."""
    weights: dict[str, Any]
    pool: dict[int, dict[str, Any]]
    """Earlier networks by agent steps."""

    def evaluator(self, weights: dict[str, Any]) -> NetworkEvaluator:
        """A network for TreeSearch."""
        network = build_network(self.config, self.game)
        load_weights(network, weights)
        threads = usable_cores()
        torch.set_num_threads(threads)
        return NetworkEvaluator(network, Arithmetic("cpu", threads))


def load_run(path: Path, game: str) -> TrainedZero:
    """Read a run of Zero on a game.

    Raises:
        UserError: there is no such run, or it is of another agent or game.
    """
    folder = RunFolder.open(path)
    if folder.read_meta().get("agent") != "zero":
        raise UserError(f"{path} is a run of {folder.read_meta().get('agent')}, not of zero")
    config = from_toml(ZeroConfig, folder.read_config(), f"{path}/config.toml")
    if config.game != game:
        raise UserError(f"{path} plays {config.game}, this study needs {game}")
    loaded = checkpoint.load(folder.checkpoints)
    pool = {
        int(member["name"].removeprefix("step ")): member["weights"]
        for member in loaded.state.get("pool", {}).values()
    }
    return TrainedZero(
        config, load_game(game), config.game_options(), loaded.step, loaded.state["network"], pool
    )


def write_results(path: Path, content: dict[str, Any]) -> None:
    """Keep what a study found, with versions and machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"environment": environment_facts()}
    path.write_text(json.dumps(content | facts, indent=1) + "\n", encoding="utf-8")
