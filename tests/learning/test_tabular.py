"""Tabular Q-learning finds the true values, in the Trainer that every agent shares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agents.tabular.build import build_policy
from agents.tabular.config import TabularConfig
from agents.tabular.table import QTable
from core.config import check
from core.errors import UserError
from core.evaluation import play_episodes
from core.files import checkpoint
from core.trainer import Trainer
from envs.small import GridLanes

MakeTrainer = Callable[..., Trainer]

STEPS = 400_000


def optimal_values(discount: float) -> tuple[np.ndarray, list[int]]:
    """Value iteration in plain loops over the grid's table, and the cells where an agent acts."""
    probability, reward, terminal = GridLanes(1).transitions()
    states, actions = range(GridLanes.num_states), range(4)
    values = [0.0] * GridLanes.num_states
    for _ in range(400):
        values = [
            0.0
            if terminal[s]
            else max(
                sum(
                    probability[s, a, n] * (reward[n] + discount * values[n])
                    for n in states
                    if probability[s, a, n] > 0
                )
                for a in actions
            )
            for s in states
        ]
    cells = [i for i, cell in enumerate("".join(GridLanes.ROWS)) if cell == "."]
    return np.array(values), cells


def test_values_equal_those_of_value_iteration(make_trainer: MakeTrainer) -> None:
    config = TabularConfig()
    trainer = make_trainer(
        "q-learning",
        config,
        total_steps=STEPS,
        evaluate_every=STEPS,
        evaluate_episodes=400,
        checkpoint_seconds=1e9,
        log_seconds=1e9,
    )
    trainer.run()
    wanted, cells = optimal_values(config.discount)
    weights = checkpoint.load(trainer.folder.checkpoints).state["network"]
    found = weights["q"].numpy().max(axis=1)
    assert np.abs(found[cells] - wanted[cells]).max() < 0.02

    # What it plays is worth what value iteration says of the average start.
    undiscounted, _ = optimal_values(1.0)
    assert trainer.last_evaluation == pytest.approx(undiscounted[cells].mean(), abs=0.06)
    lanes = GridLanes(8)
    policy = build_policy(config, lanes, weights, seed=0, device="cpu")
    scores = [episode.score for episode in play_episodes(lanes, policy, 400, seed=9)]
    assert np.mean(scores) == pytest.approx(undiscounted[cells].mean(), abs=0.06)


def test_resume_equals_an_uninterrupted_run_bit_for_bit(make_trainer: MakeTrainer) -> None:
    config = TabularConfig(lanes=5)
    run = {"total_steps": 5000, "evaluate_every": 2000, "evaluate_episodes": 10}
    whole = make_trainer("q-learning", config, "whole", **run)
    whole.run()
    first = make_trainer("q-learning", config, "cut", **run)
    first._start()
    while first.agent_steps < 1735:  # episodes are in progress, a transition is not yet learned
        first._advance()
    first.save()
    for _ in range(20):  # lost with the interruption
        first._advance()
    resumed = make_trainer("q-learning", config, "cut", **run)
    assert resumed.agent_steps == 1735
    resumed.run()
    mine, theirs = resumed.agent.state_dict(), whole.agent.state_dict()
    assert mine["network"]["q"].equal(theirs["network"]["q"])
    np.testing.assert_array_equal(mine["agent"]["visits"], theirs["agent"]["visits"])
    assert mine["agent"]["acting_rng"] == theirs["agent"]["acting_rng"]
    for name in ("episodes.jsonl", "evaluations.jsonl"):
        records = [
            [
                {key: value for key, value in row.items() if "seconds" not in key}
                for row in trainer.folder.read_jsonl(name)
            ]
            for trainer in (whole, resumed)
        ]
        assert records[0] == records[1]
        assert records[0]


def test_one_update_by_hand() -> None:
    table = QTable(num_actions=2)
    table.require(np.array([40]))  # beyond the first allocation
    table.q[40] = [0.0, 4.0]
    rows = {
        "state": np.array([3, 3, 3]),
        "action": np.array([1, 1, 1]),
        "reward": np.array([1.0, 2.0, 5.0]),
        "terminated": np.array([False, True, False]),
        "next_state": np.array([40, 40, 3]),
    }
    errors = table.update(**rows, discount=0.5, power=1.0)
    # 0 + (1 + 0.5 * 4 - 0) = 3; 3 + (2 - 3) / 2 = 2.5; 2.5 + (5 + 0.5 * 2.5 - 2.5) / 3 = 3.75
    assert errors.tolist() == [3.0, -1.0, 3.75]
    assert table.q[3].tolist() == [0.0, 3.75]
    assert table.visits[3].tolist() == [0, 3]


def test_a_cut_episode_that_leaves_no_legal_action_is_worth_its_reward() -> None:
    table = QTable(num_actions=2)
    errors = table.update(
        np.array([0]), np.array([1]), np.array([3.0]), np.array([False]), np.array([1]),
        discount=0.5, power=1.0, next_legal=np.zeros((1, 2), bool),
    )  # fmt: skip
    assert errors.tolist() == [3.0]


def test_what_a_table_cannot_hold_is_refused(make_trainer: MakeTrainer) -> None:
    with pytest.raises(UserError, match="single integers; CartPole-v1 shows float32"):
        make_trainer("q-learning", TabularConfig(env="CartPole-v1"))
    lanes = GridLanes(2)
    trainer = make_trainer("q-learning", TabularConfig(env="FrozenLake-v1"), "lake")
    frozen_lake = trainer.agent.state_dict()["network"]
    assert build_policy(TabularConfig(), lanes, frozen_lake, 0, "cpu") is not None
    with pytest.raises(UserError, match="4 actions: it belongs to another environment"):
        build_policy(TabularConfig(), lanes, {"q": np.zeros((20, 6))}, 0, "cpu")
    with pytest.raises(UserError, match="learning-rate-power"):
        check(TabularConfig(learning_rate_power=0.5))
