"""What changes over DQN's training, and what is learned from: horizons, step sizes, shifted images,
target networks that follow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.dqn import build
from agents.dqn.agent import DQN
from agents.dqn.augmentation import random_shift
from agents.dqn.config import DQNConfig
from agents.dqn.horizon import horizon
from core.config import check, from_toml
from core.errors import UserError
from core.learner import Arithmetic
from tests.learning.test_dqn import catch_config

WARM = 1_000


@pytest.mark.parametrize(
    ("passed", "n_step", "discount"),
    [(-500, 10, 0.9), (0, 10, 0.9), (50, 5, 0.9683772), (100, 3, 0.99), (9_999, 3, 0.99)],
)
def test_returns_get_shorter_and_look_further(passed: int, n_step: int, discount: float) -> None:
    """Half way: the root of 10 * 3, rounded, and of 0.1 * 0.01."""
    config = DQNConfig(
        n_step=3, n_step_start=10, discount=0.99, discount_start=0.9, horizon_steps=100,
        warmup_steps=WARM,
    )  # fmt: skip
    found = horizon(config, WARM + passed)
    assert found[0] == n_step and found[1] == pytest.approx(discount)


def test_a_horizon_stays_unless_asked_to_change() -> None:
    for config in (DQNConfig(n_step=2), DQNConfig(n_step=2, horizon_steps=10**9)):
        assert horizon(config, 30_000) == (2, 0.99)


@pytest.mark.parametrize("shape", [(4, 9, 7), (2, 6, 8, 3)])
def test_shifted_images_equal_padded_and_cut_ones(shape: tuple[int, ...]) -> None:
    """Further than the image is wide, too: then it is one column."""
    last = np.random.default_rng(0).integers(0, 256, (64, *shape[1:], shape[0]), np.uint8)
    images, most = np.moveaxis(last, -1, 1), 8
    shifted = random_shift(np.random.default_rng(1), images, most)
    by = np.random.default_rng(1).integers(-most, most + 1, (64, 2))
    assert shifted.strides == images.strides and shifted.dtype == np.uint8
    height, width = shape[1:3]
    for image, moved, (down, right) in zip(images, shifted, by, strict=True):
        around = ((0, 0), (most, most), (most, most), *([(0, 0)] * (image.ndim - 3)))
        padded = np.pad(image, around, mode="edge")
        y, x = most + down, most + right
        np.testing.assert_array_equal(moved, padded[:, y : y + height, x : x + width])


def an_agent(folder: Path, **options: Any) -> DQN:
    config = catch_config(total_steps=1_000)
    small = {"network": "mlp", "hidden": "8", "warmup_steps": 64, "replay_capacity": 200}
    config = dataclasses.replace(config, **{**small, "lanes": 2, **options})
    built: Any = build.build(config, folder, lambda line: None, Arithmetic("cpu", threads=1))
    agent: DQN = built.agent.agent
    step = agent.lanes.reset(1)
    for _ in range(40):
        actions = np.zeros(2, np.int64)
        agent.lanes.send(actions)
        outcome = agent.lanes.receive()
        agent.observe(step, actions, outcome)
        step = outcome
    agent.lanes.close()
    return agent


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(network.parameters()).detach().clone()


def test_the_step_size_falls_to_nothing(tmp_path: Path) -> None:
    agent = an_agent(tmp_path, learning_rate_falls=True, learning_rate=0.01, update_every=200)
    agent.learn(500)
    assert agent.learner.learning_rate == pytest.approx(0.005)
    before = weights(agent.online)
    agent.learn(1_000)
    assert agent.learner.learning_rate == 0
    torch.testing.assert_close(weights(agent.online), before, rtol=0, atol=0)


def test_a_target_takes_up_its_share_and_acts(tmp_path: Path) -> None:
    agent = an_agent(tmp_path, target_rate=0.25, target_acts=True, update_every=8)
    start = weights(agent.online)
    agent.learn(72)
    assert agent.learner.updates == 1
    newest = weights(agent.online)
    followed = 0.75 * start + 0.25 * newest
    torch.testing.assert_close(weights(agent.target.network), followed)
    assert agent.actor.network is agent.scored is agent.target.network
    state = agent.state_dict()
    saved = torch.cat([value.flatten() for value in state["network"].values()])
    torch.testing.assert_close(saved, followed)
    other = an_agent(tmp_path / "other", target_rate=0.25, target_acts=True)
    del state["replay"]
    other.load_state_dict(state)
    torch.testing.assert_close(weights(other.online), newest)
    torch.testing.assert_close(weights(other.target.network), followed)


def test_a_target_that_a_resume_asks_for_begins_with_todays_weights(tmp_path: Path) -> None:
    agent = an_agent(tmp_path, target_every=0, update_every=8)
    agent.learn(72)
    assert agent.learner.updates == 1
    state = agent.state_dict()
    del state["replay"]
    other = an_agent(tmp_path / "other", target_every=100)
    other.load_state_dict(state)
    newest = weights(agent.online)
    torch.testing.assert_close(weights(other.target.network), newest, rtol=0, atol=0)


def test_returns_are_as_long_as_the_horizon_says(tmp_path: Path) -> None:
    agent = an_agent(tmp_path, n_step=1, n_step_start=4, horizon_steps=1_000, update_every=8)
    assert agent.replay.spec.n_step == 4
    agent.learn(72)
    assert agent.sampler.n_step == 4
    agent._learned_until = 1_056
    agent.learn(64 + 1_000)
    assert agent.sampler.n_step == 1
    assert agent.metrics().scalars["replay/n_step"] == 1


def test_what_can_be_drawn_is_judged_by_the_present_length(tmp_path: Path) -> None:
    """After a resume the sampler has the longest, of which fewer can be drawn."""
    agent = an_agent(tmp_path, n_step=1, n_step_start=4, horizon_steps=1_000, update_every=8)
    agent.sampler.n_step = 1
    most = max(size for size in range(1, 81) if agent.sampler.can_sample(size))
    agent.sampler.n_step = 4
    assert not agent.sampler.can_sample(most)
    agent.config = dataclasses.replace(agent.config, batch_size=most)
    agent._learned_until = 1_056
    agent.learn(64 + 1_000)
    assert agent.learner.updates == 1


def test_only_images_are_shifted(tmp_path: Path) -> None:
    config = DQNConfig(env="CartPole-v1", network="mlp", shift_pixels=4, replay_capacity=1_000)
    with pytest.raises(UserError, match=r"--shift-pixels 4 is for images, and CartPole-v1 shows"):
        build.build(config, tmp_path, lambda line: None, Arithmetic("cpu", threads=1))
    with pytest.raises(UserError, match="--shift-pixels 4 is for images"):
        build.describe(config)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_step_start": 10}, "--n-step-start 10 needs --horizon-steps"),
        ({"discount_start": 0.9}, "--discount-start 0.9 needs --horizon-steps"),
        ({"horizon_steps": 9}, "--horizon-steps 9 needs --n-step-start or --discount-start"),
        (
            {"discount": 1.0, "discount_start": 0.97, "horizon_steps": 9},
            "--discount-start 0.97 goes .* give --discount under 1",
        ),
        ({"weight_decay": 0.1}, "--weight-decay is for --optimiser adamw, not adam"),
        ({"target_every": 0, "target_rate": 0.1}, "--target-rate needs a target network"),
        ({"target_every": 0, "target_acts": True}, "--target-acts needs a target network"),
        ({"target_every": 0, "double": True}, "has one alone; give --no-double"),
    ],
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check(DQNConfig(**options))


def test_the_largest_batch_of_a_small_replay(tmp_path: Path) -> None:
    small = {"replay_capacity": 64, "warmup_steps": 64, "lanes": 2, "update_every": 8}
    with pytest.raises(UserError, match=r"--batch-size 59 .* use at most 58, or a larger"):
        an_agent(tmp_path / "larger", batch_size=59, **small)
    agent = an_agent(tmp_path, batch_size=40, **small)
    agent.learn(72)
    assert agent.learner.updates == 1


def test_a_saved_double_without_a_target_network_is_read_as_what_it_was() -> None:
    old = from_toml(DQNConfig, "double = true\ntarget_every = 0\n", "config.toml")
    assert not old.double and not old.target_every
    assert from_toml(DQNConfig, "double = true\n", "config.toml").double
