"""Statistics against scipy, brute force, and what the intervals promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.report.statistics import (
    human_normalised,
    interquartile_mean,
    interquartile_mean_interval,
    summarise,
)

SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


@given(SCORES)
def test_interquartile_mean_is_scipys_trimmed_mean(scores: list[float]) -> None:
    expected = stats.trim_mean(scores, 0.25)
    assert interquartile_mean(np.array(scores)) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(SCORES)
def test_summary_agrees_with_numpy_and_scipy(scores: list[float]) -> None:
    summary = summarise(scores)
    assert summary.episodes == len(scores)
    assert summary.mean == pytest.approx(np.mean(scores), abs=1e-6)
    assert summary.median == np.median(scores)
    assert (summary.minimum, summary.maximum) == (min(scores), max(scores))
    if len(scores) > 1:
        assert summary.standard_error == pytest.approx(stats.sem(scores), rel=1e-9, abs=1e-6)
    else:
        assert summary.standard_error is None and "±" not in summary.mean_and_error


def test_no_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="no scores"):
        summarise([])
    with pytest.raises(ValueError, match="at least one run"):
        interquartile_mean_interval({"Pong": []}, seed=0)


def test_human_normalised_is_zero_for_random_and_one_for_a_human() -> None:
    assert human_normalised(-20.7, -20.7, 14.6) == 0
    assert human_normalised(14.6, -20.7, 14.6) == 1
    # Mnih et al. 2015, extended data table 2: Pong at 18.9 with their human at 9.3 is 132.0 %.
    assert human_normalised(18.9, -20.7, 9.3) == pytest.approx(1.320, abs=5e-4)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    trials, runs, covered = 200, 20, 0
    for trial in range(trials):
        scores = {"a": rng.normal(0.0, 1.0, runs).tolist(), "b": rng.normal(0, 1, runs).tolist()}
        mean, low, high = interquartile_mean_interval(scores, seed=trial, resamples=300)
        assert low <= mean <= high
        covered += low <= 0.0 <= high
    assert 0.88 <= covered / trials <= 0.99


def test_runs_are_resampled_within_their_game() -> None:
    # Mixing the games would spread the interval between 0 and 100; within them nothing varies.
    scores = {"low": [0.0] * 4, "high": [100.0] * 4}
    mean, low, high = interquartile_mean_interval(scores, seed=0, resamples=200)
    assert mean == low == high == 50.0
