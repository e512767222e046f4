"""REINFORCE's mathematics against slow independent versions, and its collection of episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.reinforce.config import ReinforceConfig
from agents.reinforce.episodes import EpisodeCollector, stack_frames
from agents.reinforce.losses import advantages, reinforce_loss, returns_to_go, sample_action
from core.config import check
from core.errors import UserError
from core.lanes import FrameStack, ObservationSpec, Step, first_step

finite = st.floats(-10, 10, allow_nan=False)
episode = st.tuples(st.lists(finite, min_size=1, max_size=8), finite)


@given(st.lists(episode, min_size=1, max_size=6), st.floats(0, 1))
def test_returns_to_go_is_the_discounted_sum_of_each_episode(
    episodes: list[tuple[list[float], float]], discount: float
) -> None:
    wanted, rewards, last, bootstrap = [], [], [], []
    for reward, after in episodes:
        steps = len(reward)
        for t in range(steps):
            total = sum(discount ** (k - t) * reward[k] for k in range(t, steps))
            wanted.append(total + discount ** (steps - t) * after)
        rewards += reward
        last += [False] * (steps - 1) + [True]
        bootstrap += [float("nan")] * (steps - 1) + [after]  # only read where an episode ends
    found = returns_to_go(np.array(rewards), np.array(last), np.array(bootstrap), discount)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_gradient_is_the_expected_one_of_the_softmax() -> None:
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(7, 3)), requires_grad=True)
    action = rng.integers(0, 3, 7)
    advantage = rng.normal(size=7)
    loss, entropy = reinforce_loss(
        logits, torch.tensor(action), torch.tensor(advantage), entropy_weight=0.3
    )
    loss.backward()  # type: ignore[no-untyped-call]

    z = logits.detach().numpy()
    wanted, entropies = np.zeros_like(z), np.zeros(7)
    for t in range(7):
        p = np.exp(z[t]) / np.exp(z[t]).sum()
        entropies[t] = -(p * np.log(p)).sum()
        for a in range(3):
            score = float(a == action[t]) - p[a]  # d log pi(action) / d logit a
            bonus = -p[a] * (np.log(p[a]) + entropies[t])  # d entropy / d logit a
            wanted[t, a] = -(advantage[t] * score + 0.3 * bonus) / 7
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), wanted, atol=1e-12)
    assert float(entropy) == pytest.approx(entropies.mean())


def test_advantages_carry_no_gradient_and_are_normalised_on_request() -> None:
    value = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    plain = advantages(torch.tensor([3.0, 3.0, 3.0]), value, normalise=False)
    assert plain.tolist() == [2.0, 1.0, -3.0]
    assert not plain.requires_grad
    scaled = advantages(torch.tensor([3.0, 3.0, 3.0]), value, normalise=True)
    assert float(scaled.mean()) == pytest.approx(0, abs=1e-6)
    assert float(scaled.std()) == pytest.approx(1, abs=1e-4)
    one = advantages(torch.tensor([5.0]), torch.tensor([3.0]), normalise=True)
    assert one.tolist() == [2.0]


def test_actions_are_drawn_with_the_probabilities_of_the_policy() -> None:
    probability = np.array([0.1, 0.6, 0.3])
    logits = torch.log(torch.tensor(probability)).expand(20_000, 3)
    actions = sample_action(logits, np.random.default_rng(0).gumbel(size=(20_000, 3)))
    np.testing.assert_allclose(np.bincount(actions) / 20_000, probability, atol=0.015)


def _play(
    rng: np.random.Generator,
    spec: ObservationSpec,
    ticks: int,
    collector: EpisodeCollector,
    reload_at: int = -1,
) -> tuple[EpisodeCollector, list[dict[str, Any]]]:
    """Three random lanes; returns the collector and what it should have found, list by list."""
    lanes, stack = 3, FrameStack(spec, 3)
    running: list[dict[str, Any]] = [{} for _ in range(lanes)]
    wanted: list[dict[str, Any]] = []
    step = first_step(rng.integers(0, 255, (lanes, *spec.shape)).astype(spec.dtype))
    done = np.zeros(lanes, dtype=bool)
    for tick in range(ticks):
        seen = stack.push(step).copy()
        actions = rng.integers(0, 4, lanes)
        between_lives = ~done & (rng.random(lanes) < 0.1)  # the action is ignored
        busy = ~done & ~between_lives & (rng.random(lanes) < 0.2)
        moves = ~done & ~between_lives & ~busy
        ended = moves & (rng.random(lanes) < 0.15)
        by_rules = rng.random(lanes) < 0.5
        shown = rng.integers(0, 255, (lanes, *spec.shape)).astype(spec.dtype)
        outcome = Step(
            np.where(busy.reshape(-1, *[1] * len(spec.shape)), step.observation, shown),
            np.where(moves, rng.normal(size=lanes), 0.0),
            ended & by_rules,
            ended & ~by_rules,
            np.zeros(lanes, dtype=bool),
            moves,
            done | between_lives,
        )
        for i in np.flatnonzero(moves):
            row = running[i]
            row.setdefault("seen", []).append(seen[i])
            row.setdefault("action", []).append(actions[i])
            row.setdefault("reward", []).append(outcome.reward[i])
            if ended[i]:
                wanted.append(
                    {
                        **row,
                        "final": outcome.observation[i],
                        "terminated": bool(outcome.terminated[i]),
                    }
                )
                running[i] = {}
        collector.append(step, actions, outcome)
        if tick == reload_at:
            fresh = EpisodeCollector(spec, lanes)
            fresh.load_state_dict(collector.state_dict())
            collector = fresh
        step, done = outcome, ended
    return collector, wanted


@pytest.mark.parametrize(
    "spec",
    [
        ObservationSpec((4,), "float32"),
        ObservationSpec((5, 6), "uint8", 3),
    ],
    ids=["vector", "stacked image"],
)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), reload_at=st.integers(-1, 199))
def test_collector_finds_every_episode_with_what_the_policy_saw(
    spec: ObservationSpec, seed: int, reload_at: int
) -> None:
    collector, wanted = _play(
        np.random.default_rng(seed), spec, 200, EpisodeCollector(spec, 3), reload_at
    )
    found = collector.take()
    assert len(found) == len(wanted) > 0
    for have, want in zip(found, wanted, strict=True):
        stacked = stack_frames(have.frames, have.first, spec)
        np.testing.assert_array_equal(stacked[:-1], want["seen"])
        newest = stacked[-1][-1] if spec.is_image else stacked[-1]
        np.testing.assert_array_equal(newest, want["final"])
        np.testing.assert_array_equal(have.action, want["action"])
        np.testing.assert_array_equal(have.reward, want["reward"])
        assert have.terminated == want["terminated"]
    assert collector.finished == []


def test_collector_forgets_episodes_cut_by_a_restart_and_grows_for_long_ones() -> None:
    spec = ObservationSpec((1,), "float32")
    collector = EpisodeCollector(spec, 1)
    no, yes = np.array([False]), np.array([True])
    step = first_step(np.zeros((1, 1), dtype=np.float32))
    cut = Step(np.full((1, 1), 9, dtype=np.float32), np.array([7.0]), no, no, no, yes, no)
    collector.append(step, np.array([0]), cut)
    collector.drop_unfinished()
    for t in range(1, 301):
        outcome = Step(
            np.full((1, 1), t, dtype=np.float32),
            np.array([float(t)]),
            no,
            np.array([t == 300]),
            no,
            yes,
            no,
        )
        collector.append(step, np.array([t]), outcome)
        step = outcome
    (episode,) = collector.take()
    assert episode.frames[:, 0].tolist() == list(range(301))
    assert episode.action.tolist() == episode.reward.tolist() == list(range(1, 301))
    assert not episode.terminated


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lanes", 0),
        ("episodes_per_update", 0),
        ("discount", 1.1),
        ("entropy_weight", -1.0),
        ("learning_rate", 0.0),
        ("max_gradient_norm", float("nan")),
    ],
)
def test_impossible_options_are_refused_by_name(option: str, value: float) -> None:
    with pytest.raises(UserError, match=option.replace("_", "-")):
        check(ReinforceConfig(**{option: value}))
