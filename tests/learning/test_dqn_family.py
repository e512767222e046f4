"""What DQN's switches add up to resumes exactly and is scored without noise."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.dqn.build import build_policy
from agents.dqn.config import DQNConfig
from core.files import checkpoint
from envs.make import make_lanes
from tests.learning.test_dqn import assert_resumes_exactly, catch_config, trainer_in

FAMILY: dict[str, dict[str, Any]] = {
    "rainbow": {
        "distribution": "c51", "lowest_return": -1.0, "highest_return": 1.0, "dueling": True,
        "double": True, "noisy": True, "prioritised": True, "priority_beta_steps": 8_000,
        "epsilon_start": 0.0, "epsilon_end": 0.0, "epsilon_decay_steps": 0,
    },
    "all of iqn": {
        "distribution": "iqn", "fractions": 8, "target_fractions": 8, "policy_fractions": 8,
        "munchausen": True, "double": False, "dueling": True, "noisy": True, "prioritised": True,
        "n_step_start": 5, "discount_start": 0.9, "horizon_steps": 600, "shift_pixels": 1,
        "optimiser": "adamw", "weight_decay": 0.1, "target_rate": 0.02, "target_acts": True,
    },
}  # fmt: skip


def family(name: str, changes: dict[str, Any] | None = None, **run: object) -> DQNConfig:
    """A member of the family on Catch."""
    small = {"network": "mlp", "hidden": "64", **FAMILY[name], **(changes or {})}
    return dataclasses.replace(catch_config(**run), **small)


@pytest.mark.parametrize(
    ("name", "concurrent_ticks"), [("rainbow", 0), ("all of iqn", 0), ("rainbow", 5)]
)
def test_resumes_exactly(tmp_path: Path, name: str, concurrent_ticks: int) -> None:
    """With a memory that wraps around before and after the stop."""
    changes = {
        "replay_capacity": 320, "concurrent_ticks": concurrent_ticks, "update_every": 16,
        "warmup_steps": 160, "target_every": 128, "atoms": 11, "hidden": "32",
    }  # fmt: skip
    config = family(name, changes, total_steps=960, evaluate_every=320, evaluate_episodes=4)
    assert_resumes_exactly(tmp_path, config, 520)


LEARNERS: dict[str, dict[str, Any]] = {
    # Weights that make up for priorities early hold learning back: 0.84 with 8,000 steps to beta 1.
    "rainbow": {**FAMILY["rainbow"], "priority_beta_steps": 24_000},
    "quantile": {"distribution": "quantile", "quantiles": 21},
    "munchausen iqn": {
        "distribution": "iqn", "fractions": 8, "target_fractions": 8, "policy_fractions": 8,
        "double": False, "munchausen": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LEARNERS)
def test_learns_to_catch(tmp_path: Path, name: str) -> None:
    """A random player scores about -0.4, a perfect one 1; with seed 1 they reach 0.9 and more."""
    steps = 12_000
    config = dataclasses.replace(
        catch_config(total_steps=steps, evaluate_every=steps, evaluate_episodes=100),
        network="mlp",
        hidden="128,128",
        lanes=32,
        n_step=3,
        learning_rate=2e-3,
        batch_size=128,
        update_every=8,
        target_every=400,
        optimiser_epsilon=1e-8,
        **LEARNERS[name],
    )
    trainer = trainer_in(tmp_path / "run", config)
    assert trainer.run() == "finished"
    assert trainer.last_evaluation is not None and trainer.last_evaluation >= 0.75


@pytest.mark.parametrize("name", ["rainbow", "all of iqn"])
def test_is_scored_by_its_mean_weights_and_explores_by_noise(tmp_path: Path, name: str) -> None:
    short = {"epsilon_start": 0.0, "epsilon_end": 0.0, "warmup_steps": 160}
    config = family(name, short, total_steps=320, evaluate_every=0)
    trainer = trainer_in(tmp_path / "run", config)
    trainer.run()
    agent = trainer.agent.agent
    weights = checkpoint.load(trainer.folder.checkpoints).state["network"]
    lanes = make_lanes(config.env, 64, config.atari, config.gymnasium)
    step = lanes.reset(3)
    saved = build_policy(config, lanes, weights, seed=1, device="cpu")
    present = agent.evaluation_policy(lanes, seed=2)
    noisy = agent.evaluation_policy(lanes, seed=2)
    noisy.explores = True
    actions = saved.act(step)
    np.testing.assert_array_equal(actions, present.act(step))
    assert (noisy.act(step) != actions).any()
    assert agent.actor.explores
    lanes.close()
