"""Every policy keeps to the legal actions, and so does every maximum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.dqn.agent import EpsilonGreedy
from agents.dqn.losses import td_target
from agents.reinforce.agent import SoftmaxPolicy
from agents.reinforce.losses import reinforce_loss
from agents.tabular.agent import EpsilonGreedyTable
from agents.tabular.table import QTable
from core.lanes import FrameStack, ObservationSpec, first_step
from core.learner import Arithmetic
from core.legal import legal_only, random_actions

LANES, ACTIONS = 40, 5
VALUES = torch.tensor([1.0, 9.0, 3.0, 2.0, 8.0])  # the best two are never legal together
SPEC = ObservationSpec((1,), "float32", masked=True)
LEGAL = np.zeros((LANES, ACTIONS), dtype=bool)
LEGAL[:, [0, 2, 3]] = True
LEGAL[0] = [False, False, False, True, False]


class Constant(torch.nn.Module):
    """The same values for every observation."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return VALUES.expand(len(observation), ACTIONS)

    policy = forward


def policies() -> dict[str, Any]:
    frames, arithmetic = FrameStack(SPEC, LANES), Arithmetic("cpu")
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for epsilon in (0.0, 0.5, 1.0):
        q = EpsilonGreedy(Constant(), frames, ACTIONS, arithmetic, rng)
        q.epsilon = epsilon
        made[f"q {epsilon}"] = q
        made[f"table {epsilon}"] = EpsilonGreedyTable(VALUES.numpy()[None], epsilon, rng)
    made["most likely 0.0"] = SoftmaxPolicy(Constant(), frames, arithmetic, None)  # type: ignore[arg-type]
    made["drawn 0.5"] = SoftmaxPolicy(Constant(), frames, arithmetic, rng)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("name", policies())
def test_policies_choose_legal_actions(name: str) -> None:
    policy = policies()[name]
    observation = np.zeros((LANES, 1), np.int64 if "table" in name else np.float32)
    chosen = np.stack([policy.act(first_step(observation, LEGAL)) for _ in range(30)])
    assert LEGAL[np.arange(LANES), chosen].all()
    assert (chosen[:, 0] == 3).all()
    found = set(np.unique(chosen[:, 1:]).tolist())
    assert found == ({2} if "0.0" in name else {0, 2, 3})


def test_random_actions_are_even_among_the_legal_ones() -> None:
    legal = np.tile([True, False, True, True], (9_000, 1))
    drawn = random_actions(np.random.default_rng(1), 9_000, 4, legal)
    np.testing.assert_allclose(np.bincount(drawn, minlength=4), [3000, 0, 3000, 3000], atol=200)
    over = random_actions(np.random.default_rng(1), 2, 4, np.zeros((2, 4), dtype=bool))
    assert over.tolist() == [0, 0], "where an episode has ended nothing is legal"


def test_the_td_target_ranges_over_legal_actions() -> None:
    q = torch.tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 9.0]])
    legal = torch.tensor([[True, False, True], [False, False, False]])
    rewards, discounts = torch.zeros(2), torch.tensor([1.0, 0.0])
    assert td_target(rewards, discounts, q, None, legal).tolist() == [3.0, 0.0]
    online = torch.tensor([[2.0, 9.0, 1.0], [0.0, 0.0, 0.0]])
    assert td_target(rewards, discounts, q, online, legal).tolist() == [1.0, 0.0]
    table = QTable(num_actions=3)
    table.q[7] = q[0].numpy()
    at = {"state": np.array([0]), "action": np.array([0]), "next_state": np.array([7])}
    table.update(
        **at, reward=np.zeros(1), terminated=np.zeros(1, bool), discount=1.0, power=1.0,
        next_legal=legal[:1].numpy(),
    )  # fmt: skip
    assert table.q[0, 0] == 3.0


def test_illegal_actions_have_no_part_in_a_policys_loss_and_entropy() -> None:
    logits = torch.tensor([[0.0, 50.0, 0.0]], requires_grad=True)
    masked = legal_only(logits, torch.tensor([[True, False, True]]))
    loss, entropy = reinforce_loss(masked, torch.tensor([2]), torch.ones(1), 0.5)
    assert entropy.item() == pytest.approx(np.log(2))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all() and logits.grad[0, 1] == 0


def test_a_state_without_legal_actions_has_the_value_of_the_best() -> None:
    values = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]])
    legal = torch.tensor([[False] * 3, [True, False, True]])
    assert legal_only(values, legal).max(dim=1).values.tolist() == [3.0, 2.0]
    cut = td_target(torch.zeros(2), torch.full((2,), 0.5), values, legal_t=legal)
    assert cut.tolist() == [1.5, 1.0]


@pytest.mark.parametrize("kind", ["DQN", "PPO"])
def test_yardsticks_keep_to_legal_actions_when_they_are_scored(kind: str) -> None:
    import gymnasium
    import stable_baselines3
    from stable_baselines3.common.vec_env import DummyVecEnv

    from agents.baselines.policy import SB3Policy
    from envs.gymnasium.lanes import GymnasiumLanes

    make = getattr(stable_baselines3, kind)
    options = {"buffer_size": 10} if kind == "DQN" else {"n_steps": 8}
    env = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])
    lanes: Any = GymnasiumLanes("CartPole-v1", 3)
    policy = SB3Policy(
        make("MlpPolicy", env, device="cpu", batch_size=8, **options),
        lanes,
        np.random.default_rng(0),
    )
    observation = lanes.reset(0).observation
    assert (
        policy.act(first_step(observation)).tolist()
        == policy.act(first_step(observation, np.ones((3, 2), dtype=bool))).tolist()
    )
    for only in range(2):
        legal = np.arange(2) == only
        acted = policy.act(first_step(observation, np.tile(legal, (3, 1))))
        assert acted.tolist() == [only] * 3
