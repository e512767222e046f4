"""Elo ratings of a pool of players from all results among them at once.

The Bradley-Terry model (Bradley and Terry 1952) by the MM iteration of Hunter 2004 ("MM algorithms
for generalized Bradley-Terry models"), draws as half a win each. One player's rating is fixed.
Chained ratings, each player measured against the last, add up their errors; these do not.
"""

from __future__ import annotations

import numpy as np

ELO = 400 / np.log(10)
_PRIOR_GAMES = 1.0
_ITERATIONS = 10_000


def bradley_terry(wins: np.ndarray, anchor: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ratings in Elo and their 95 % intervals' half widths, both float64 [P].

    Args:
        wins: float64 [P, P], points that player i took off player j.
        anchor: the player whose rating is 0.

    Half a drawn game between each two that met keeps ratings finite where all games went one way.
    """
    points = np.asarray(wins, np.float64)
    met = (points + points.T) > 0
    points = points + met * _PRIOR_GAMES / 2
    games = points + points.T
    total = points.sum(axis=1)
    strength = np.ones(len(points))
    for _ in range(_ITERATIONS):
        expected = games / np.maximum(strength[:, None] + strength[None, :], 1e-300)
        newest = np.where(total > 0, total / np.maximum(expected.sum(axis=1), 1e-300), 1.0)
        newest /= newest[anchor]
        moved = np.abs(np.log(newest / strength)).max()
        strength = newest
        if moved < 1e-9:
            break
    ratings = ELO * np.log(strength)
    # The curvature of the likelihood: with the anchor fixed its inverse is the covariance.
    chance = strength[:, None] / (strength[:, None] + strength[None, :])
    weight = games * chance * (1 - chance)
    information = np.diag(weight.sum(axis=1)) - weight
    kept = np.arange(len(points)) != anchor
    widths = np.zeros(len(points))
    covariance = np.linalg.pinv(information[np.ix_(kept, kept)])
    widths[kept] = 1.96 * ELO * np.sqrt(np.maximum(np.diag(covariance), 0))
    return ratings, widths
