"""The networks of a run of Zero, ready to search with: the newest and its pool of earlier ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.zero.build import network_for
from agents.zero.config import ZeroConfig
from agents.zero.evaluator import NetworkEvaluator
from core.config import from_toml
from core.errors import UserError
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.learner import Arithmetic, load_weights
from envs.games.game import Game
from envs.games.registry import load_game
from search.tree_search import TreeSearch


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

    def network(self, step: int) -> dict[str, Any]:
        """The weights after so many agent steps."""
        return self.weights if step == self.step else self.pool[step]

    def search(self, weights: dict[str, Any], games: int, simulations: int) -> TreeSearch:
        """A search for so many games with a network, in this thread."""
        network = network_for(self.config, self.game, self.options)
        load_weights(network, weights)
        return TreeSearch(
            self.game, self.options, games, self.config.search,
            NetworkEvaluator(network, Arithmetic("cpu", 1)), max_simulations=simulations, seed=1,
        )  # fmt: skip


def load_run(path: Path, game: str, size: int = 0) -> TrainedZero:
    """Read a run of Zero on a game; a relative path may begin at the application's own folder.
    `size`: one of the boards that it learned; 0: the largest.

    Raises:
        UserError: there is no such run, or it is of another agent or game, or did not
            learn such boards.
    """
    own = Path(__file__).resolve().parents[1] / path
    folder = RunFolder.open(path if path.exists() or not own.exists() else own)
    if folder.read_meta().get("agent") != "zero":
        raise UserError(f"{path} is a run of {folder.read_meta().get('agent')}, not of zero")
    config = from_toml(ZeroConfig, folder.read_config(), f"{path}/config.toml")
    if config.game != game:
        raise UserError(f"{path} plays {config.game}, this study needs {game}")
    boards = [board for board in config.boards() if size in (0, *board.shape[:1])]
    if not boards:
        raise UserError(f"{path} learned {config.env}, not boards of {size} lines")
    loaded = checkpoint.load(folder.checkpoints)
    pool = {
        int(member["name"].removeprefix("step ")): member["weights"]
        for member in loaded.state.get("pool", {}).values()
    }
    return TrainedZero(
        config, load_game(game), boards[-1], loaded.step, loaded.state["network"], pool
    )
