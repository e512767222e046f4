"""Agents with networks solve a task whose states are numbers that mean nothing by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from agents.dqn.config import DQNConfig
from agents.reinforce.config import ReinforceConfig
from core.trainer import Trainer

STATES = 64
RIGHT = np.random.default_rng(0).integers(0, 2, STATES)
"""The right action in each state."""
FIRST = 100


class Numbers(gymnasium.Env[Any, Any]):
    """One step: the right action of the state shown pays 1. States count from 100."""

    observation_space = spaces.Discrete(STATES, start=FIRST)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(STATES))
        return FIRST + self.state, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return FIRST + self.state, float(action == RIGHT[self.state]), True, False, {}


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    gymnasium.register("tests/Numbers-v0", entry_point=Numbers)
    yield
    del gymnasium.registry["tests/Numbers-v0"]


@pytest.mark.parametrize(
    ("name", "config", "steps"),
    [
        (
            "dqn",
            DQNConfig(
                env="tests/Numbers-v0", learning_rate=1e-3, target_every=500, warmup_steps=500,
                epsilon_decay_steps=2_000, replay_capacity=5_000,
            ),
            6_000,
        ),
        (
            "reinforce",
            ReinforceConfig(
                env="tests/Numbers-v0", learning_rate=5e-3, episodes_per_update=64
            ),
            12_000,
        ),
    ],
)  # fmt: skip
def test_a_network_tells_numbered_states_apart(
    make_trainer: Callable[..., Trainer], name: str, config: Any, steps: int
) -> None:
    trainer = make_trainer(
        name, config, total_steps=steps, evaluate_every=steps, evaluate_episodes=200
    )
    assert trainer.run() == "finished"
    assert trainer.last_evaluation is not None
    assert trainer.last_evaluation >= 0.98, "chance is 0.5, the best possible 1"
