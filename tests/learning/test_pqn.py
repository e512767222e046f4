"""PQN learns two tasks whose best scores are known, and a stopped run equals one never stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agents.pqn.build import build_policy
from agents.pqn.config import PRESETS, PQNConfig
from core.config import resolve
from core.evaluation import play_episodes
from core.files import checkpoint
from core.trainer import Trainer
from envs.make import make_lanes

MakeTrainer = Callable[..., Trainer]


def test_catch_is_learned(make_trainer: MakeTrainer) -> None:
    config = resolve(PQNConfig, PRESETS["catch"][1])
    trainer = make_trainer(
        "pqn", config, total_steps=30_000, evaluate_every=30_000, evaluate_episodes=100
    )
    assert trainer.run() == "finished"
    assert trainer.last_evaluation is not None
    assert trainer.last_evaluation >= 0.9, "a random player scores about -0.4, a perfect one 1"

    # The checkpoint alone plays as well.
    weights = checkpoint.load(trainer.folder.checkpoints).state["network"]
    lanes = make_lanes(config.env, 8, config.atari)
    policy = build_policy(config, lanes, weights, seed=0, device="cpu")
    assert np.mean([e.score for e in play_episodes(lanes, policy, 40, seed=3)]) >= 0.8


def test_cartpole_is_solved(make_trainer: MakeTrainer) -> None:
    """With larger and fewer steps than those published, which take a minute."""
    config = replace(
        resolve(PQNConfig, PRESETS["cartpole"][1]),
        hidden="64,64",
        rollout_ticks=32,
        learning_rate=1e-3,
        epsilon_decay_steps=10_000,
    )
    trainer = make_trainer(
        "pqn", config, total_steps=24_000, evaluate_every=24_000, evaluate_episodes=20
    )
    assert trainer.run() == "finished"
    assert trainer.last_evaluation is not None and trainer.last_evaluation >= 475


@pytest.mark.parametrize("network", ["mlp", "small"])
def test_resume_equals_an_uninterrupted_run(make_trainer: MakeTrainer, network: str) -> None:
    config = PQNConfig(
        env="tengen/Catch", network=network, lanes=3, rollout_ticks=20, minibatches=3, epochs=1
    )
    run = {"total_steps": 900, "evaluate_every": 0}
    whole = make_trainer("pqn", config, "whole", **run)
    whole.run()
    first = make_trainer("pqn", config, "cut", **run)
    first._start()
    while first.agent_steps < 400:
        first._advance()
    first.save()
    assert 0 < first.agent.agent.rollout.filled < 20  # type: ignore[attr-defined]
    resumed = make_trainer("pqn", config, "cut", **run)
    assert resumed.agent_steps == first.agent_steps
    resumed.run()
    learner = whole.agent.agent.learner  # type: ignore[attr-defined]
    assert learner.updates == resumed.agent.agent.learner.updates > 20  # type: ignore[attr-defined]
    for name, tensor in whole.agent.state_dict()["network"].items():
        assert tensor.equal(resumed.agent.state_dict()["network"][name]), name
    returns = [
        [episode["return"] for episode in trainer.folder.read_jsonl("episodes.jsonl")]
        for trainer in (whole, resumed)
    ]
    assert returns[0] == returns[1]


def test_a_resume_without_its_experience_begins_a_rollout(make_trainer: MakeTrainer) -> None:
    config = PQNConfig(env="tengen/Catch", lanes=3, rollout_ticks=20, minibatches=3, epochs=1)
    first = make_trainer("pqn", config, total_steps=300, evaluate_every=0)
    first.run()
    assert first.agent.agent.rollout.filled  # type: ignore[attr-defined]
    first.restore(checkpoint.load(first.folder.checkpoints).state, fresh_replay=True)
    assert first.agent.agent.rollout.filled == 0  # type: ignore[attr-defined]
