"""The line of progress says what a person can plan by."""

from __future__ import annotations

from core.report.progress import Pace, describe


def test_the_time_left_does_not_jump_with_one_interval() -> None:
    pace = Pace()
    for _ in range(200):
        steady = pace.add(500, 5.0)
    assert round(steady) == 100
    assert 80 < pace.add(500, 60.0) < 100, "a save held the run up for a minute"
    for _ in range(400):
        slower = pace.add(100, 5.0)
    assert round(slower) == 20, "it follows a run that became slower for good"
    line = describe(1_000, 10_000, 500.0, {"loss": 0.25}, pace=10.0)
    assert line == "1,000/10,000 steps (10.0%)  500 steps/s  15m00s left  loss 0.25"


def test_a_slow_run_is_told_by_the_minute_and_by_its_pace() -> None:
    line = describe(4, 200, 0.0, {}, pace=0.125)
    assert line == "4/200 steps (2.0%)  7.5 steps/min  26m08s left"


def test_no_run_is_more_than_finished() -> None:
    line = describe(6_000, 100, 7.0, {}, pace=7.0)
    assert line == "6,000 steps (all 100 done)  7 steps/s  0s left"
    assert "left" not in describe(6, 100, 0.0, {}, pace=0.0)
