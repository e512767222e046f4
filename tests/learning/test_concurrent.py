"""DQN acts in a thread of its own while it learns, and nothing depends on which is faster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agents.dqn.config import PRESETS, DQNConfig
from core.config import resolve
from core.errors import UserError
from core.files import checkpoint
from core.lanes import Step
from core.trainer import Trainer

MakeTrainer = Callable[..., Trainer]


def catch_config(**options: Any) -> DQNConfig:
    config = resolve(DQNConfig, PRESETS["catch"][1])
    return replace(config, concurrent_ticks=5, **options)


def arrays(trainer: Trainer) -> dict[str, np.ndarray]:
    """Every array that was saved last: weights, optimiser, replay, lanes, counters."""
    flat: dict[str, np.ndarray] = {}

    def walk(name: str, part: object) -> None:
        if isinstance(part, dict):
            for key, value in part.items():
                walk(f"{name}/{key}", value)
        elif name != "/trainer/seconds":
            flat[name] = np.asarray(part)

    walk("", checkpoint.load(trainer.folder.checkpoints).state)
    return flat


def first_weights(network: torch.nn.Module) -> np.ndarray:
    return next(network.parameters()).detach().numpy().copy()


def test_it_learns_to_catch(make_trainer: MakeTrainer) -> None:
    config = catch_config(
        lanes=32, batch_size=64, update_every=16, learning_rate=3e-3, target_every=800,
        epsilon_decay_steps=3_000, epsilon_end=0.05,
    )  # fmt: skip
    run = {"total_steps": 9_600, "evaluate_every": 9_600, "evaluate_episodes": 64}
    trainer = make_trainer("dqn", config, **run)
    assert trainer.run() == "finished"
    assert trainer.last_evaluation is not None
    assert trainer.last_evaluation >= 0.4, "a random player scores about -0.4, a perfect one 1"
    trainer.agent.close()


@pytest.mark.parametrize("stop", [None, 440])
def test_a_run_equals_another_of_its_seed_stopped_or_not(
    make_trainer: MakeTrainer, stop: int | None
) -> None:
    config = catch_config(warmup_steps=200, epsilon_decay_steps=400, replay_capacity=500)
    run = {"total_steps": 800, "evaluate_every": 0}
    whole = make_trainer("dqn", config, "whole", **run)
    whole.run()
    if stop:
        first = make_trainer("dqn", config, "other", **run | {"total_steps": stop})
        first.run()
        first.agent.close()
    torch.manual_seed(999)  # what happens elsewhere in the process must not matter
    other = make_trainer("dqn", config, "other", **run)
    other.run()
    wanted, found = arrays(whole), arrays(other)
    assert wanted.keys() == found.keys()
    assert [name for name in wanted if not np.array_equal(wanted[name], found[name])] == []
    returns = [
        [row["return"] for row in trainer.folder.read_jsonl("episodes.jsonl")]
        for trainer in (whole, other)
    ]
    assert returns[0] == returns[1] != []
    # Nothing was due before the last period that is not made.
    updates = (800 - 5 * config.lanes - config.warmup_steps) // config.update_every
    assert other.agent.agent.learner.updates == updates  # type: ignore[attr-defined]
    for trainer in (whole, other):
        trainer.agent.close()


def test_a_period_acts_on_the_weights_of_its_start(make_trainer: MakeTrainer) -> None:
    advancing: Any = make_trainer("dqn", catch_config(warmup_steps=80)).agent
    agent = advancing.agent
    act, acted = agent.act, list[np.ndarray]()

    def watched(step: Step, agent_steps: int) -> np.ndarray:
        acted.append(first_weights(agent.actor.network))
        actions: np.ndarray = act(step, agent_steps)
        return actions

    agent.act = watched
    learned = [first_weights(agent.online)]
    for period in range(8):
        advancing.advance(40 * period)
        learned.append(first_weights(agent.online))
    advancing.close()
    assert agent.learner.updates == 50
    for number, weights in enumerate(acted):
        np.testing.assert_array_equal(weights, learned[number // 5])


def test_a_run_goes_on_after_its_lanes_failed(make_trainer: MakeTrainer) -> None:
    config = catch_config(warmup_steps=200)
    run = {"total_steps": 800, "evaluate_every": 0}
    broken = make_trainer("dqn", config, **run)
    lanes = broken.agent.lanes  # type: ignore[attr-defined]
    receive, calls = lanes.receive, 0

    def fail() -> Step:
        nonlocal calls
        calls += 1
        if calls == 63:
            raise UserError("lane 0 fell over")
        step: Step = receive()
        return step

    lanes.receive = fail
    with pytest.raises(UserError, match="lane 0 fell over"):
        broken.run()
    broken.agent.close()
    resumed = make_trainer("dqn", config, **run)
    assert resumed.agent_steps == 480, "the boundary before"
    assert resumed.run() == "finished"
    resumed.agent.close()


def test_a_period_must_fit_into_the_replay() -> None:
    with pytest.raises(UserError, match="give at most 2,500"):
        replace(catch_config(), concurrent_ticks=2_501).validate()
