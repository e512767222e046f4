"""What TensorBoard is told of self-play."""

from __future__ import annotations

import numpy as np
import pytest

from agents.zero.config import ZeroConfig
from agents.zero.report import Report
from agents.zero.self_play import GameInProgress
from envs.games.options import TicTacToeOptions
from envs.games.registry import load_game


def finish(report: Report, values: list[float], outcome: int, played_on: bool = True) -> None:
    """End a game in which the player to move expected these outcomes, turn by turn."""
    game = GameInProgress(0, 0, played_on)
    policy = np.full(9, 1 / 9, np.float32)
    for ply, value in enumerate(values):
        game.think(ply % 2, value)
        game.learn_from(policy, 0.0)
        game.moves.append(ply)
    config = ZeroConfig(resign_below=-0.9, soft_resign_below=-0.9, soft_resign_moves=3)
    report.finished(game.record(outcome, 0, False, 0.0, np.random.default_rng(0)), game, config)


def test_calibration_error_is_the_gap_between_expected_and_true_outcomes() -> None:
    report = Report(load_game("tic-tac-toe"), TicTacToeOptions())
    # For the first player: 0.55 and 0.55 in one bin, -0.95 in another; then a win.
    finish(report, [0.55, -0.55, -0.95], 1)
    error = report.drain({}, 0, 1).scalars["games/value_calibration_error"]
    assert error == pytest.approx((2 * (1 - 0.55) + (1 + 0.95)) / 3)

    # Right on average: 0.5 expected, three of four won.
    for outcome in (1, 1, 1, -1):
        finish(report, [0.5], outcome)
    assert report.drain({}, 0, 5).scalars["games/value_calibration_error"] == pytest.approx(0.0)


def test_wrong_resignations_are_counted_in_games_played_on() -> None:
    report = Report(load_game("tic-tac-toe"), TicTacToeOptions())
    hopeless = [0.0, 0.95, -0.95, 0.95, -0.95]  # the first player's last two own views: lost
    finish(report, hopeless, -1)
    finish(report, hopeless, 1)
    finish(report, hopeless, 1, played_on=False)
    assert report.drain({}, 0, 3).scalars["games/wrong_resignations"] == pytest.approx(0.5)


def test_hope_is_lost_when_all_agree_for_some_moves_and_may_be_wrong() -> None:
    game = GameInProgress(0, 0, False)
    seen = []
    for ply, value in enumerate([0.0, 0.95, -0.92, 0.98, -0.98, 1.0, -0.8]):
        game.think(ply % 2, value)
        seen.append(game.hope(-0.9, 3))
    # From the fourth move on the first player has lost: how far from certain, of a tenth.
    assert seen == pytest.approx([1, 1, 1, 0.2, 0.2, 0, 1])
    assert game.hope(-2.0, 3) == 1
    assert game.lost_hope(-0.9, 3) == [True, False]
    assert game.lost_hope(-0.9, 6) == game.lost_hope(-0.9, 60) == [False, False]

    report = Report(load_game("tic-tac-toe"), TicTacToeOptions())
    finish(report, [0.0, 0.95, -0.92, 0.98], -1, played_on=False)
    finish(report, [0.0, 0.95, -0.92, 0.98], 0, played_on=False)
    finish(report, [0.0, 0.95, -0.8, 0.98], -1, played_on=False)
    scalars = report.drain({}, 0, 3).scalars
    assert scalars["games/soft_resignations"] == pytest.approx(2 / 3)
    assert scalars["games/wrong_soft_resignations"] == pytest.approx(1 / 2)
