"""PQN learns two tasks whose best scores are known, and a stopped run equals one never stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agents.pqn.agent import PQN
from agents.pqn.build import build_policy
from agents.pqn.config import PRESETS, PQNConfig
from agents.pqn.rollout import Experience
from core.config import resolve
from core.evaluation import play_episodes
from core.files import checkpoint
from core.lanes import Step
from core.trainer import Trainer
from envs.make import make_lanes

MakeTrainer = Callable[..., Trainer]


@pytest.mark.parametrize("concurrent", [False, True])
def test_catch_is_learned(make_trainer: MakeTrainer, concurrent: bool) -> None:
    config = replace(resolve(PQNConfig, PRESETS["catch"][1]), concurrent=concurrent)
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


@pytest.mark.parametrize(
    ("network", "concurrent"), [("mlp", False), ("small", False), ("mlp", True)]
)
def test_resume_equals_an_uninterrupted_run(
    make_trainer: MakeTrainer, network: str, concurrent: bool
) -> None:
    config = PQNConfig(
        env="tengen/Catch", network=network, lanes=3, rollout_ticks=20, minibatches=3, epochs=1,
        concurrent=concurrent, normalise_observations=True,
    )  # fmt: skip
    run = {"total_steps": 900, "evaluate_every": 0}
    whole = make_trainer("pqn", config, "whole", **run)
    whole.run()
    first = make_trainer("pqn", config, "cut", **run)
    first._start()
    while first.agent_steps < 400:
        first._advance()
    first.save()
    held = first.agent.agent.rollout.filled  # type: ignore[attr-defined]
    assert held == 1 if concurrent else 1 < held < 21
    first.agent.close()
    torch.manual_seed(999)  # what happens elsewhere in the process must not matter
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
    for trainer in (whole, resumed):
        trainer.agent.close()


@pytest.mark.parametrize("concurrent", [False, True])
def test_a_resume_may_change_whether_acting_is_concurrent(
    make_trainer: MakeTrainer, concurrent: bool
) -> None:
    config = PQNConfig(
        env="tengen/Catch", lanes=3, rollout_ticks=20, minibatches=3, epochs=1,
        concurrent=not concurrent,
    )  # fmt: skip
    made, learned = 0, 0

    def count(agent: PQN) -> None:
        observe, update = agent.observe, agent.update

        def counted_observe(step: Step, actions: np.ndarray, outcome: Step) -> None:
            nonlocal made
            made += int(outcome.valid.sum())
            observe(step, actions, outcome)

        def counted_update(experience: Experience) -> None:
            nonlocal learned
            learned += len(experience.action)
            update(experience)

        agent.observe, agent.update = counted_observe, counted_update  # type: ignore[method-assign]

    first = make_trainer("pqn", config, total_steps=200, evaluate_every=0)
    count(first.agent.agent)  # type: ignore[attr-defined]
    first.run()
    first.agent.close()
    config = replace(config, concurrent=concurrent)
    resumed = make_trainer("pqn", config, total_steps=600, evaluate_every=0)
    agent: PQN = resumed.agent.agent  # type: ignore[attr-defined]
    count(agent)
    assert resumed.run() == "finished"
    resumed.agent.close()
    state = agent.state_dict()
    due = len(state["due"].get("action", ()))
    assert learned > 300
    assert made == learned + due + state["rollout"]["valid"].sum(), "each is learned from once"


def test_a_rollout_is_made_with_the_weights_of_its_start_while_that_before_is_learned(
    make_trainer: MakeTrainer,
) -> None:
    config = PQNConfig(
        env="tengen/Catch", network="mlp", lanes=3, rollout_ticks=6, minibatches=3, epochs=1,
        concurrent=True,
    )  # fmt: skip
    advancing: Any = make_trainer("pqn", config, total_steps=1_000).agent
    agent = advancing.agent
    act, update = agent.act, agent.update
    acted, updates = list[torch.Tensor](), list[int]()

    def weights() -> torch.Tensor:
        return agent.network.q.weight.detach().clone()

    def watched_act(step: Step, agent_steps: int) -> np.ndarray:
        acted.append(agent.actor.network.q.weight.clone())
        actions: np.ndarray = act(step, agent_steps)
        return actions

    def watched_update(experience: Experience) -> None:
        updates.append(len(experience.action))
        update(experience)

    agent.act, agent.update = watched_act, watched_update
    learned = [weights()]
    for period in range(6):
        advancing.advance(18 * period)
        learned.append(weights())
    advancing.close()
    for tick, acted_on in enumerate(acted):
        assert acted_on.equal(learned[tick // 6])
    assert not learned[2].equal(learned[1])
    assert updates[0] == 15, "the newest tick waits"
    assert max(updates[1:]) <= 18 and len(updates) == 5


def test_a_resume_without_its_experience_begins_a_rollout(make_trainer: MakeTrainer) -> None:
    config = PQNConfig(env="tengen/Catch", lanes=3, rollout_ticks=20, minibatches=3, epochs=1)
    first = make_trainer("pqn", config, total_steps=300, evaluate_every=0)
    first.run()
    assert first.agent.agent.rollout.filled  # type: ignore[attr-defined]
    first.restore(checkpoint.load(first.folder.checkpoints).state, fresh_replay=True)
    assert first.agent.agent.rollout.filled == 0  # type: ignore[attr-defined]
