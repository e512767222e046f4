"""Schedules at places where their values are known."""

from __future__ import annotations

import pytest

from core.errors import UserError
from core.schedule import SCHEDULES, exponential, learning_rate_factor, linear


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1.0), (25, 0.775), (50, 0.55), (99, 0.109), (100, 0.1), (500, 0.1)]
)
def test_linear(step: int, expected: float) -> None:
    assert linear(1.0, 0.1, 100, step) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 8.0), (10, 4.0), (20, 2.0), (30, 1.0), (99, 1.0)]
)
def test_exponential(step: int, expected: float) -> None:
    assert exponential(8.0, 1.0, 30, step) == pytest.approx(expected)


def test_no_duration_is_the_end_at_once() -> None:
    assert linear(1.0, 0.1, 0, 0) == 0.1


@pytest.mark.parametrize(
    ("name", "warmup", "values"),
    [
        ("constant", 0.0, [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("constant", 0.5, [0.0, 0.5, 1.0, 1.0, 1.0]),
        ("linear", 0.0, [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("linear", 0.5, [0.0, 0.5, 1.0, 0.5, 0.0]),
        ("cosine", 0.0, [1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0.0]),
        ("step", 0.0, [1.0, 1.0, 0.1, 0.01, 0.01]),
        ("inverse_sqrt", 0.25, [0.0, 1.0, 0.5**0.5, 3**-0.5, 0.5]),
    ],
)
def test_learning_rates(name: str, warmup: float, values: list[float]) -> None:
    found = [learning_rate_factor(name, progress / 4, warmup) for progress in range(5)]
    assert found == pytest.approx(values)
    assert learning_rate_factor(name, 1.5, warmup) == pytest.approx(values[-1])


def test_all_schedules_are_tried() -> None:
    for name in SCHEDULES:
        values = [learning_rate_factor(name, n / 100, 0.1) for n in range(101)]
        assert values[0] == 0 and max(values) == pytest.approx(1.0) and min(values) >= 0
        assert values[10:] == sorted(values[10:], reverse=True)


@pytest.mark.parametrize(
    ("name", "warmup", "message"),
    [
        ("cosin", 0.0, "did you mean 'cosine'"),
        ("linear", 1.0, "0 or more and below 1, got 1.0"),
        ("inverse_sqrt", 0.0, "falls from the end of a warm-up"),
    ],
)
def test_schedules_that_cannot_be(name: str, warmup: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        learning_rate_factor(name, 0.5, warmup)
