"""Bradley-Terry ratings against results whose ratings are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.report.ratings import ELO, bradley_terry


def test_two_players_differ_by_the_elo_of_their_score() -> None:
    wins = np.array([[0, 3000], [1000, 0]])
    ratings, widths = bradley_terry(wins, anchor=1)
    assert ratings[1] == 0 and widths[1] == 0
    assert ratings[0] == pytest.approx(400 * math.log10(3), abs=1)
    # The binomial's own interval: 1.96 / sqrt(n p (1 - p)) in natural logarithms.
    assert widths[0] == pytest.approx(1.96 * ELO / math.sqrt(4000 * 0.75 * 0.25), rel=0.01)


def test_true_ratings_are_found_again() -> None:
    rng = np.random.default_rng(1)
    true = np.array([0.0, 150, 300, 500, 520])
    games, wins = 4000, np.zeros((5, 5))
    for i in range(5):
        for j in range(i):
            chance = 1 / (1 + 10 ** ((true[j] - true[i]) / 400))
            wins[i, j] = rng.binomial(games, chance)
            wins[j, i] = games - wins[i, j]
    ratings, widths = bradley_terry(wins)
    assert (np.abs(ratings - true) < 2.5 * np.maximum(widths, 1)).all()
    assert (widths[1:] < 25).all()


def test_players_that_met_only_through_others_are_rated() -> None:
    wins = np.zeros((3, 3))
    wins[1, 0], wins[0, 1] = 300, 100
    wins[2, 1], wins[1, 2] = 300, 100
    ratings, widths = bradley_terry(wins)
    assert ratings[2] == pytest.approx(2 * ratings[1], rel=0.01)
    assert widths[2] > widths[1]


def test_one_sided_results_stay_finite() -> None:
    ratings, widths = bradley_terry(np.array([[0, 0], [50, 0]]))
    assert 500 < ratings[1] < 1500
    assert np.isfinite(widths).all()


def test_a_player_without_games_is_rated_like_the_anchor() -> None:
    ratings, _ = bradley_terry(np.array([[0, 5, 0], [5, 0, 0], [0, 0, 0]]))
    assert np.isfinite(ratings).all()
