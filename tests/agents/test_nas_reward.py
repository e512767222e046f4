"""Rewards by hand, and the front against looking at every pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agents.nas.evaluator import Result
from agents.nas.pareto import non_dominated
from agents.nas.reward import Reward


def ok(score: float, **metrics: float) -> Result:
    """A result that is fine."""
    return Result("ok", {"score": score, **metrics})


def test_the_rewards_of_the_papers() -> None:
    assert Reward("identity")(ok(0.9)) == 0.9
    assert Reward("cube")(ok(0.9)) == pytest.approx(0.729)
    loss = -math.log(62.4)  # the perplexity of the cell that Zoph and Le found
    assert Reward("inverse-perplexity")(ok(loss)) == pytest.approx(80 / 62.4)
    squared = Reward("inverse-perplexity-squared", constant=80.0)
    assert squared(ok(loss)) == pytest.approx(80 / 62.4**2)
    assert squared(ok(-1e9)) == pytest.approx(0.0, abs=1e-200)


def test_latency_over_the_target_costs() -> None:
    reward = Reward(latency_target=0.08)
    assert reward(ok(0.75, latency=0.08)) == pytest.approx(0.75)
    assert reward(ok(0.75, latency=0.16)) == pytest.approx(0.75 * 0.5**0.07)
    with pytest.raises(KeyError):
        reward(ok(0.75))


@pytest.mark.parametrize("status", ["diverged", "out of memory", "out of time", "too large"])
def test_failures_have_a_reward_of_their_own(status: str) -> None:
    reward = Reward("cube", failure=-0.5)
    assert reward(Result(status, {"score": 0.9})) == -0.5  # type: ignore[arg-type]
    assert reward(Result("ok", {"score": math.nan})) == -0.5
    assert reward(Result("ok", {})) == -0.5


@given(
    arrays.arrays(
        np.float64, st.tuples(st.integers(0, 12), st.integers(1, 4)),
        elements=st.integers(0, 3).map(float),
    )
)  # fmt: skip
def test_the_front_is_what_nobody_dominates(objectives: np.ndarray) -> None:
    wanted = [
        not any((other >= row).all() and (other > row).any() for other in objectives)
        for row in objectives
    ]
    assert non_dominated(objectives).tolist() == wanted
