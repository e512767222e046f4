"""Linear schedules."""

from __future__ import annotations

import pytest

from core.schedule import linear


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1.0), (25, 0.775), (50, 0.55), (99, 0.109), (100, 0.1), (500, 0.1)]
)
def test_linear(step: int, expected: float) -> None:
    assert linear(1.0, 0.1, 100, step) == pytest.approx(expected)


def test_no_duration_is_the_end_at_once() -> None:
    assert linear(1.0, 0.1, 0, 0) == 0.1
