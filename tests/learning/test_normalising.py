"""Observations are normalised by what training saw, and evaluation sees them the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.dqn.config import PRESETS, DQNConfig
from agents.registry import AGENTS, load_object
from agents.reinforce.config import ReinforceConfig
from core.config import resolve
from core.files import checkpoint
from core.trainer import Trainer
from envs.make import make_lanes

MakeTrainer = Callable[..., Trainer]

CONFIGS: dict[str, Any] = {
    "dqn": replace(
        resolve(DQNConfig, PRESETS["cartpole"][1]),
        warmup_steps=100,
        replay_capacity=1_000,
        normalise_observations=True,
    ),
    "reinforce": ReinforceConfig(lanes=8, episodes_per_update=4, normalise_observations=True),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_statistics_are_saved_and_evaluation_leaves_them_alone(
    name: str, make_trainer: MakeTrainer
) -> None:
    config = CONFIGS[name]
    options = {"evaluate_every": 200, "evaluate_episodes": 2}
    trainer = make_trainer(name, config, total_steps=400, **options)
    trainer.run()
    weights = checkpoint.load(trainer.folder.checkpoints).state["network"]
    assert int(weights["normaliser.count"]) == 400  # those of evaluation are not counted
    assert np.asarray(weights["normaliser.squares"]).min() > 0

    lanes = make_lanes(config.env, 8, config.atari)
    build_policy = load_object(AGENTS[name].build_module).build_policy
    policy = build_policy(config, lanes, weights, seed=0, device="cpu")
    step = lanes.reset(5)
    mine = trainer.agent.agent.evaluation_policy(lanes, 0)
    np.testing.assert_array_equal(policy.act(step), mine.act(step))

    resumed = make_trainer(name, config, total_steps=800, **options)
    resumed.run()
    weights = checkpoint.load(resumed.folder.checkpoints).state["network"]
    assert int(weights["normaliser.count"]) == 800
