"""Agents on lanes that are busy at random ticks learn as well, and resume exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.dqn.config import PRESETS, DQNConfig
from agents.pqn.config import PQNConfig
from agents.reinforce.config import ReinforceConfig
from core.config import resolve
from core.trainer import Trainer
from envs import small
from tests.learning.late_lanes import LateLanes

MakeTrainer = Callable[..., Trainer]


@pytest.fixture(autouse=True)
def late_catch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Catch is late, that of evaluations too."""
    monkeypatch.setitem(small.SMALL_WORLDS, "tengen/Catch", LateLanes)


def catch() -> DQNConfig:
    return resolve(DQNConfig, PRESETS["catch"][1])


def test_dqn_learns_as_well_where_lanes_answer_late(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(
        "dqn", catch(), total_steps=8_500, evaluate_every=8_500, evaluate_episodes=40
    )
    assert trainer.run() == "finished"
    assert trainer.last_evaluation is not None and trainer.last_evaluation >= 0.7
    lengths = {e["length"] for e in trainer.folder.read_jsonl("episodes.jsonl")}
    assert lengths == {11}, "busy ticks are not steps"


@pytest.mark.parametrize("name", ["dqn", "pqn", "reinforce"])
def test_a_run_with_busy_lanes_resumes_exactly(make_trainer: MakeTrainer, name: str) -> None:
    config: Any = replace(catch(), lanes=3, replay_capacity=1_000)
    if name == "reinforce":
        config = ReinforceConfig(env="tengen/Catch", lanes=3, episodes_per_update=5)
    if name == "pqn":
        config = PQNConfig(env="tengen/Catch", lanes=3, rollout_ticks=20, minibatches=2, epochs=1)
    run = {"total_steps": 1_500, "evaluate_every": 0}
    whole = make_trainer(name, config, "whole", **run)
    whole.run()
    first = make_trainer(name, config, "cut", **run)
    first._start()
    while first.agent_steps < 900 or not first.agent.step.busy.any():  # type: ignore[attr-defined]
        first._advance()
    first.save()
    resumed = make_trainer(name, config, "cut", **run)
    assert resumed.agent_steps == first.agent_steps
    resumed.run()
    updates = [run.agent.agent.learner.updates for run in (whole, resumed)]  # type: ignore[attr-defined]
    assert updates[0] == updates[1] > 5
    for key, tensor in whole.agent.state_dict()["network"].items():
        assert tensor.equal(resumed.agent.state_dict()["network"][key]), key
    returns = [
        [episode["return"] for episode in trainer.folder.read_jsonl("episodes.jsonl")]
        for trainer in (whole, resumed)
    ]
    assert returns[0] == returns[1] and np.mean(returns[0]) < 1
