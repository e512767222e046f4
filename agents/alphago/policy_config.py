"""Options of AlphaGo's supervised policy, and settings for some machines. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config import RunConfig, locked, warn
from core.errors import UserError
from networks.registry import require_image_network
from tasks.options import TrainingConfig, short_name

TOWER = "alphago"


@dataclass(frozen=True)
class GoPolicyConfig:
    """The next move of games of Go. A step is a position."""

    data: str = warn("")
    """SGF file, or folder of .sgf files; make some with: tengen games go --out FOLDER."""
    size: int = locked(9, at_least=2, at_most=19)
    """Lines of the board; games of other sizes are left out."""
    lowest_rank: str = warn("")
    """Learn from games in which both players have at least this rank, such as 5k or 1d."""
    most_handicap: int = warn(0, at_least=0, at_most=9)
    """Learn from games with so many handicap stones at the most."""
    fewest_moves: int = warn(10, at_least=1)
    """Leave shorter games out."""
    network: str = locked(TOWER)
    """alphago, the paper's tower, or an image network of `tengen networks`."""
    network_options: str = locked("")
    """Changes to an image network's options, such as "blocks=2 widths=8,16,32"."""
    weights: str = warn("")
    """Safetensors file to start from."""
    layers: int = locked(12, at_least=1, at_most=100)
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
            raise UserError(
                "--data must name an SGF file or a folder of games; make some with: "
                "tengen games go --out FOLDER"
            )
        if self.network != TOWER:
            require_image_network(self.network, (TOWER,))
        elif self.network_options:
            raise UserError("--network-options are for image networks; alphago has --layers and "
                            "--filters")  # fmt: skip


DEFAULT_PRESET = "9x9"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "9x9": (
        "6 layers of 64 filters: an hour on two cores for some thousand games (default)",
        {
            "layers": 6,
            "filters": 64,
            "training": {"batch_size": 128, "learning_rate": 2e-3, "weight_decay": 1e-4},
        },
    ),
    "quick": (
        "4 layers of 32 filters, 2 epochs: minutes on two cores",
        {
            "layers": 4,
            "filters": 32,
            "training": {
                "batch_size": 128,
                "epochs": 2.0,
                "learning_rate": 3e-3,
                "weight_decay": 1e-4,
            },
        },
    ),
    "paper": (
        "12 layers of 192 filters on 19 lines, SGD with batches of 16, for a GPU",
        {
            "size": 19,
            "training": {
                "batch_size": 16,
                "optimiser": "sgd",
                "momentum": 0.0,
                "learning_rate": 3e-3,
                "schedule": "step",
                "warmup": 0.0,
            },
        },
    ),
}
