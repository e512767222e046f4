"""Learning the rollout policy: its gradient, and games whose moves can be foretold."""

from __future__ import annotations

import numpy as np

from agents.alphago.rollout_learning import (
    Learning,
    RolloutLearner,
    gather,
    learn_choice,
    split,
)
from envs.games.go.patterns import TABLE_SIZE
from envs.games.sgf.record import GameRecord


def game(moves: str, size: int = 5, **facts: object) -> GameRecord:
    """Cells named by column and row, Black first."""
    cells = [
        None if move == "--" else (int(move[1]) - 1) * size + ord(move[0]) - 97
        for move in moves.split()
    ]
    coloured = tuple((1 + number % 2, cell) for number, cell in enumerate(cells))
    return GameRecord(size=size, moves=coloured, **facts)  # type: ignore[arg-type]


def test_the_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 1, 12)
    features = np.array([[0, 3, -1], [1, 3, 4], [0, 5, 6], [7, -1, -1]], np.int32)

    def loss(at: np.ndarray) -> float:
        return -learn_choice(at.copy(), features, 4, 2, 0.0)[0]

    numeric = np.array([(loss(weights + d) - loss(weights - d)) / 2e-5 for d in 1e-5 * np.eye(12)])
    moved = weights.copy()
    log_chance, _ = learn_choice(moved, features, 4, 2, 1.0)
    np.testing.assert_allclose(weights - moved, numeric, atol=1e-8)
    logits = np.array([weights[row[row >= 0]].sum() for row in features])
    assert np.isclose(log_chance, logits[2] - np.log(np.exp(logits).sum()))


def test_all_alike_foretells_one_move_in_as_many() -> None:
    games = gather([game("c3 b3 c2 -- b2 c3")], 5)  # c3 is taken: the record ends there
    counts = RolloutLearner(5).test(games, np.array([0]))
    assert (counts.moves, counts.other_moves) == (4, 0)
    expected = [1 / 25, 1 / 24, 1 / 23, 1 / 22]
    assert np.isclose(counts.accuracy, np.mean(expected))
    assert np.isclose(counts.log_loss, -np.mean(np.log(expected)))


def test_moves_that_playouts_do_not_make_count_against_it() -> None:
    # Black fills the eye at a1.
    games = gather([game("a2 e5 b1 e4 b2 e3 a1")], 5)
    counts = RolloutLearner(5).test(games, np.array([0]))
    assert (counts.moves, counts.other_moves) == (6, 1)


def test_it_learns_to_answer_in_contact() -> None:
    # White always plays below Black's stone; turned games teach the same.
    records = [game(f"{c}{r} {c}{r + 1}") for c in "bcd" for r in (1, 2, 3)]
    sideways = [game(f"{c}{r} {chr(ord(c) + 1)}{r}") for c in "bcd" for r in (2, 3, 4)]
    games = gather(records, 5)
    learner = RolloutLearner(5)
    before = learner.test(games, np.arange(9))
    *_, last = learner.learn(games, np.arange(9), Learning(epochs=60, rate=0.2))
    after = learner.test(gather(sideways, 5), np.arange(9))
    assert last.log_loss < before.log_loss - 0.5
    assert after.log_loss < before.log_loss - 0.3
    assert np.isfinite(learner.weights).all()
    assert np.count_nonzero(learner.weights) < TABLE_SIZE // 100


def test_gathering_and_splitting() -> None:
    records = [
        game("a1 b1"), game("a1", size=9), game("c3", black_stones=(3,)), game(""), game("d4 --")
    ]  # fmt: skip
    games = gather(records, 5)
    assert games.starts.tolist() == [0, 2, 2, 4]
    assert games.cells.tolist() == [0, 1, 18, -1]
    learn, test = split(games, 1 / 3, seed=1)
    assert sorted([*learn, *test]) == [0, 1, 2]
    assert len(test) == 1
