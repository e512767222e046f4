"""Options of AlphaGo's value network, and settings for some machines. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.alphago.policy_config import TOWER
from core.config import RunConfig, locked, warn
from core.errors import UserError
from networks.registry import require_image_network
from tasks.options import TrainingConfig, short_name


@dataclass(frozen=True)
class GoValueConfig:
    """Who wins from a position of Go. A step is a position.

    With --supervised and --reinforced the games are made in the folder --data, as the paper says:
    moves of the supervised policy, one random move, the rest by the reinforced policy; what is
    learned is the position after the random move."""

    data: str = warn("")
    """Folder of games made here, or SGF file or folder."""
    games: int = warn(50_000, at_least=1)
    """Games that are made; those that are there already count."""
    supervised: str = warn("")
    """Run of go-policy that plays the first moves of the games that are made."""
    reinforced: str = warn("")
    """Run of go-rl that plays their other moves."""
    positions: Literal["one", "all"] = warn("one")
    """Learn one position of each game, or all, of games made here from that one on, which overfits:
    they share their outcome."""
    size: int = locked(9, at_least=2, at_most=19)
    """Lines of the board; games of other sizes are left out."""
    komi: float = locked(7.0)
    """Points for White in games that are made."""
    lowest_rank: str = warn("")
    """Of SGF files: games in which both players have at least this rank, such as 5k or 1d."""
    network: str = locked(TOWER)
    """alphago, the paper's tower, or an image network of `tengen networks`."""
    network_options: str = locked("")
    """Changes to an image network's options, such as "blocks=2 widths=8,16,32"."""
    weights: str = warn("")
    """Safetensors file to start from."""
    layers: int = locked(13, at_least=1, at_most=100)
    """Convolutions of the tower before the last."""
    filters: int = locked(192, at_least=1)
    """Of each of the tower's convolutions."""
    augment: bool = warn(True)
    """Turn and mirror what is learned."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """The board and the games, as results name them."""
        return f"go-{self.size}-{short_name(self.data).removesuffix('.sgf')}"

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        if not self.data:
            raise UserError("--data must name the folder for the games, or a file of games")
        if bool(self.supervised) != bool(self.reinforced):
            raise UserError("games are made by two policies: give --supervised and --reinforced")
        if self.komi * 2 != int(self.komi * 2):
            raise UserError(f"--komi must be a multiple of 0.5, got {self.komi}")
        if self.network != TOWER:
            require_image_network(self.network, (TOWER,))
        elif self.network_options:
            raise UserError("--network-options are for image networks; alphago has --layers and "
                            "--filters")  # fmt: skip


DEFAULT_PRESET = "9x9"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "9x9": (
        "7 layers of 64 filters on 50,000 games: hours on two cores (default)",
        {
            "layers": 7,
            "filters": 64,
            "training": {"batch_size": 128, "epochs": 6.0, "weight_decay": 1e-4},
        },
    ),
    "quick": (
        "5 layers of 32 filters on 2,000 games: minutes on two cores",
        {
            "games": 2_000,
            "layers": 5,
            "filters": 32,
            "training": {"batch_size": 64, "epochs": 6.0, "weight_decay": 1e-3},
        },
    ),
    "paper": (
        "13 layers of 192 filters on 19 lines, 30 million games, SGD, for a GPU",
        {
            "size": 19,
            "komi": 7.5,
            "games": 30_000_000,
            "training": {
                "batch_size": 32,
                "optimiser": "sgd",
                "momentum": 0.0,
                "learning_rate": 3e-3,
                "schedule": "step",
                "warmup": 0.0,
            },
        },
    ),
}
