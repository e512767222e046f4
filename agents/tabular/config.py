"""Options of tabular Q-learning, and settings that are known to work as presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config import RunConfig, free, locked, warn
from envs.gymnasium.config import GymnasiumConfig


@dataclass(frozen=True)
class TabularConfig:
    """Tabular Q-learning. Steps are agent steps over all lanes."""

    env: str = locked("tengen/Grid")
    """Environment: tengen/Grid, or any Gymnasium id with discrete observations and actions."""
    lanes: int = locked(32, at_least=1)
    """Environments side by side, all learning in one table."""
    discount: float = warn(0.99, at_least=0, at_most=1)
    """Discount per agent step."""
    learning_rate_power: float = warn(0.8, over=0.5, at_most=1)
    """omega: the n-th visit of a state and action learns at rate 1 / n ** omega."""
    epsilon_start: float = warn(1.0, at_least=0, at_most=1)
    """Chance of a random action at first."""
    epsilon_end: float = warn(0.5, at_least=0, at_most=1)
    """Chance of a random action at last."""
    epsilon_decay_steps: int = warn(100_000, at_least=0)
    """Agent steps from first to last."""
    evaluation_epsilon: float = free(0.0, at_least=0, at_most=1)
    """Chance of a random action in evaluation."""
    gymnasium: GymnasiumConfig = field(default_factory=GymnasiumConfig)
    run: RunConfig = field(default_factory=RunConfig)


DEFAULT_PRESET = "grid"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "grid": (
        "tengen/Grid: the exact values in seconds (default)",
        {"run": {"total_steps": 400_000, "evaluate_every": 200_000, "evaluate_episodes": 100}},
    ),
    "frozenlake": (
        "FrozenLake-v1 on slippery ice: 0.74, the best possible, in 400k steps",
        {
            "env": "FrozenLake-v1",
            "learning_rate_power": 0.6,
            "run": {"total_steps": 400_000, "evaluate_every": 200_000, "evaluate_episodes": 200},
        },
    ),
    "taxi": (
        "Taxi-v4: 7.9, the best possible, in 600k steps",
        {
            "env": "Taxi-v4",
            "learning_rate_power": 0.6,
            "epsilon_end": 0.1,
            "run": {"total_steps": 600_000, "evaluate_every": 200_000, "evaluate_episodes": 100},
        },
    ),
}
