"""Options of AlphaGo's reinforced policy, and settings for some machines. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.alphago.policy_config import TOWER
from core.config import RunConfig, locked, warn
from core.errors import UserError
from networks.registry import require_image_network


@dataclass(frozen=True)
class GoRLConfig:
    """A policy of Go improved by playing against its past; begin with --initial RUN of go-policy.
    A step is a game."""

    size: int = locked(9, at_least=2, at_most=19)
    """Lines of the board."""
    komi: float = locked(7.0)
    """Points for White, a multiple of 0.5."""
    network: str = locked(TOWER)
    """That of the policy it begins with."""
    network_options: str = locked("")
    """Changes to an image network's options, as of the policy it begins with."""
    layers: int = locked(12, at_least=1, at_most=100)
    """Convolutions of the tower before the last."""
    filters: int = locked(192, at_least=1)
    """Of each of the tower's convolutions."""
    games: int = locked(128, at_least=1)
    """Games of an iteration, played at once against one opponent of the pool."""
    pool_every: int = warn(500, at_least=1)
    """Iterations after which the policy joins the pool."""
    batch_size: int = warn(16_384, at_least=1)
    """Positions of an update at the most; an iteration with more makes several updates."""
    baseline: Literal["none", "mean"] = warn("mean")
    """What is taken off the outcome: nothing, or its average over past games."""
    augment: bool = warn(False)
    """Show each position to the policy turned or mirrored at random, playing and learning."""
    optimiser: Literal["sgd", "adam"] = locked("adam")
    """sgd, as the paper, needs a step size a thousand times larger."""
    learning_rate: float = warn(1e-4, over=0)
    """Step size of the optimiser."""
    max_gradient_norm: float = warn(0.0, at_least=0)
    """Clip the gradient to this norm; 0 for not at all."""
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """The board, as results name it."""
        return f"go-{self.size}"

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        if self.komi * 2 != int(self.komi * 2):
            raise UserError(f"--komi must be a multiple of 0.5, got {self.komi}")
        if self.network != TOWER:
            require_image_network(self.network, (TOWER,))


DEFAULT_PRESET = "9x9"

_EVALUATED = {"evaluate_every": 8_192, "evaluate_episodes": 400}

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "9x9": (
        "begins with a policy of the preset 9x9: hours on two cores (default)",
        {"layers": 6, "filters": 64, "pool_every": 20,
         "run": {"total_steps": 65_536, **_EVALUATED}},
    ),
    "quick": (
        "begins with a policy of the preset quick: minutes on two cores",
        {"layers": 4, "filters": 32, "games": 64, "pool_every": 10, "learning_rate": 3e-4,
         "run": {"total_steps": 2_048, "evaluate_every": 1_024, "evaluate_episodes": 200}},
    ),
    "paper": (
        "12 layers of 192 filters on 19 lines, SGD, 10,000 iterations of 128 games, for a GPU",
        {"size": 19, "komi": 7.5, "optimiser": "sgd", "learning_rate": 0.1, "baseline": "none",
         "run": {"total_steps": 1_280_000, "evaluate_every": 64_000, "evaluate_episodes": 400}},
    ),
}  # fmt: skip
