"""Settings of stable-baselines3's PPO by name. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.baselines.config import (
    DEFAULT_PRESET,
    ZOO,
    SB3PPOConfig,
    environment_settings,
    preset_for,
)

__all__ = ["DEFAULT_PRESET", "PRESETS", "SB3PPOConfig", "environment_settings", "preset_for"]

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    DEFAULT_PRESET: ZOO,
    "gymnasium": (
        "the library's own defaults, whose rates fall to 0 (default elsewhere)",
        {
            "learning_rate": 3e-4,
            "n_steps": 256,
            "n_epochs": 10,
            "batch_size": 64,
            "clip_range": 0.2,
            "ent_coef": 0.0,
            "run": {"total_steps": 500_000, "evaluate_every": 25_000},
        },
    ),
    "cartpole": (
        "CartPole-v1 as in rl-baselines3-zoo",
        {
            "env": "CartPole-v1",
            "learning_rate": 1e-3,
            "n_steps": 32,
            "n_epochs": 20,
            "batch_size": 256,
            "gamma": 0.98,
            "gae_lambda": 0.8,
            "clip_range": 0.2,
            "ent_coef": 0.0,
            "run": {"total_steps": 100_000, "evaluate_every": 20_000, "evaluate_episodes": 100},
        },
    ),
}
