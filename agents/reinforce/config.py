"""Options of REINFORCE, and settings that are known to work as presets. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config import RunConfig, locked, warn
from envs.atari.protocol import AtariConfig
from envs.gymnasium.config import GymnasiumConfig
from networks.registry import hidden_sizes


@dataclass(frozen=True)
class ReinforceConfig:
    """REINFORCE with a baseline. Steps are agent steps over all lanes."""

    env: str = locked("CartPole-v1")
    """Environment: any Gymnasium id with discrete actions, tengen/Catch, or ALE/<Game>-v5."""
    lanes: int = locked(16, at_least=1)
    """Environments side by side, one batched forward for all."""
    network: str = locked("auto")
    """Torso: nature, dqn2013, compact, small, mlp, or auto to fit the observation."""
    hidden: str = locked("")
    """Units of the network's hidden layers, such as 256,256; empty for its own (mlp: 128,128)."""
    normalise_observations: bool = locked(False)
    """Bring vectors by feature, images by pixel (Burda et al. 2018), to mean 0 and deviation 1 by
    what training has seen; saved with the weights."""
    separate_baseline: bool = locked(True)
    """Give the baseline a torso of its own instead of sharing the policy's."""
    episodes_per_update: int = warn(8, at_least=1)
    """Complete episodes per update."""
    discount: float = warn(0.99, at_least=0, at_most=1)
    """Discount per agent step."""
    normalise_advantages: bool = warn(True)
    """Scale the advantages of an update to mean 0 and standard deviation 1."""
    entropy_weight: float = warn(0.01, at_least=0)
    """Weight of the entropy bonus, which keeps the policy from settling too soon."""
    value_weight: float = warn(0.5, at_least=0)
    """Weight of the baseline's squared error."""
    learning_rate: float = warn(0.01, over=0, under=1)
    """Step size of Adam at the start."""
    learning_rate_end: float = warn(0.0, at_least=0)
    """Step size of Adam at the last step; it falls on a straight line."""
    max_gradient_norm: float = warn(0.5, at_least=0)
    """Clip the gradient to this norm; 0 for not at all."""
    atari: AtariConfig = field(default_factory=AtariConfig)
    gymnasium: GymnasiumConfig = field(default_factory=GymnasiumConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        hidden_sizes(self.hidden)


DEFAULT_PRESET = "cartpole"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "cartpole": (
        "CartPole-v1 to the full score of 500 (default)",
        {
            # Long sight and more entropy: else some seeds settle for drifting slowly off the track.
            "discount": 0.998,
            "entropy_weight": 0.02,
            # The baseline's errors are hundreds; at 0.5 they alone would fill the clipped gradient.
            "value_weight": 0.01,
            "episodes_per_update": 16,
            "run": {"total_steps": 200_000, "evaluate_every": 50_000, "evaluate_episodes": 100},
        },
    ),
}
