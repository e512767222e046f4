"""Games side by side are the same games as one by one."""

from __future__ import annotations

import numpy as np
import pytest

from envs.games.batch import GameBatch
from envs.games.registry import GAMES, load_game
from envs.games.session import Session

SIZES = {"go": {"size": 4}, "gomoku": {"size": 5}, "othello": {"size": 4}}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", GAMES)
def test_a_batch_equals_single_games(name: str, threads: int) -> None:
    game = load_game(name)
    options = game.options(**SIZES.get(name, {}))
    batch = GameBatch(game, options, games=5, threads=threads)
    sessions = [Session(game, options) for _ in range(5)]
    rng = np.random.default_rng(1)
    step, ended = batch.reset(), 0
    for _ in range(150):
        for index, session in enumerate(sessions):
            np.testing.assert_array_equal(step.planes[index], session.observation())
            np.testing.assert_array_equal(step.legal[index], session.legal_mask())
            assert step.to_move[index] == session.to_move
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in step.legal])
        step = batch.step(actions)
        for index, session in enumerate(sessions):
            session.play(int(actions[index]))
            assert step.ended[index] == session.is_over
            assert step.outcomes[index] == (session.outcome if session.is_over else 0)
            if session.is_over:
                ended += 1
                sessions[index] = Session(game, options)
    assert ended > 5
    batch.close()


def test_illegal_actions_change_nothing() -> None:
    game = load_game("tic-tac-toe")
    batch = GameBatch(game, game.options(), games=2)
    batch.reset()
    batch.step(np.array([4, 0]))
    before = batch.states.copy()
    for actions in ([0, 0], [9, 1], [-1, 1]):
        with pytest.raises(ValueError, match="not legal in game"):
            batch.step(np.array(actions))
    with pytest.raises(ValueError, match="2 games need"):
        batch.step(np.array([1]))
    np.testing.assert_array_equal(batch.states, before)
