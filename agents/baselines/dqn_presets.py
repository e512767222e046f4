"""Settings of stable-baselines3's DQN by name. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.baselines.config import (
    DEFAULT_PRESET,
    ZOO,
    SB3DQNConfig,
    environment_settings,
    preset_for,
)

__all__ = ["DEFAULT_PRESET", "PRESETS", "SB3DQNConfig", "environment_settings", "preset_for"]

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    DEFAULT_PRESET: ZOO,
    "gymnasium": (
        "the library's own defaults, with a smaller replay (default elsewhere)",
        {
            "learning_starts": 100,
            "target_update_interval": 10_000,
            "exploration_final_eps": 0.05,
            "run": {"total_steps": 500_000, "evaluate_every": 25_000},
        },
    ),
    "cartpole": (
        "CartPole-v1 as in rl-baselines3-zoo, with the library's smaller network",
        {
            "env": "CartPole-v1",
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "learning_starts": 1_000,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
            "run": {"total_steps": 50_000, "evaluate_every": 10_000, "evaluate_episodes": 100},
        },
    ),
}
