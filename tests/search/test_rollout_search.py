"""Search that mixes the network's values with rollouts, against the slow one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.machine.kernels import kernel
from envs.games import tic_tac_toe
from envs.games.options import GoOptions, TicTacToeOptions
from envs.games.registry import load_game
from envs.games.session import Session
from envs.games.state import is_over
from search.config import SearchConfig
from search.rollouts import RolloutOptions
from search.tree_search import TreeSearch
from tests.search.slow_tree_search import SlowSearch, StandIn
from tests.search.test_tree_search import PLAIN, positions, require_same_tree, states_of


@kernel
def play_first_legal(state: np.ndarray, rng: np.ndarray, mask: np.ndarray, guide: Any) -> None:
    """Always the first empty cell, `guide` ignored: a rollout that can be told."""
    while not is_over(state):
        for cell in range(9):
            if state[8 + cell] == 0:
                tic_tac_toe.play(state, cell)
                break


GAME = load_game("tic-tac-toe")


def slow_rollout(session: Session) -> float:
    going = Session(session.game, session.options, session.state)
    while not going.is_over:
        going.play(int(np.flatnonzero(going.legal_mask())[0]))
    return float(going.outcome)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("expand_after", [1, 4])
def test_leaves_mix_values_and_rollouts(weight: float, expand_after: int) -> None:
    game = replace(GAME, name="tic-tac-toe-rollouts", guided_playout=play_first_legal)
    sessions = [
        Session(game, TicTacToeOptions(), one.state)
        for one in positions("tic-tac-toe", TicTacToeOptions(), 5)
    ]
    search = TreeSearch(
        game, TicTacToeOptions(), 5, PLAIN, StandIn(9), max_simulations=150,
        rollouts=RolloutOptions(weight, lambda: np.zeros(1)), expand_after=expand_after,
    )  # fmt: skip
    search.run(states_of(sessions), 150)
    for g, session in enumerate(sessions):
        slow = SlowSearch(session, rollout=slow_rollout, weight=weight, expand_after=expand_after)
        for _ in range(150):
            slow.simulate()
        require_same_tree(search, g, slow.root)


def test_unexpanded_leaves_cost_no_evaluations() -> None:
    session = Session(load_game("go"), GoOptions(5))
    evaluations = []
    for expand_after in (1, 10):
        search = TreeSearch(
            session.game, session.options, 1, replace(PLAIN, exploration=0.3), StandIn(26),
            max_simulations=200, expand_after=expand_after, leaves=4,
        )  # fmt: skip
        result = search.run(session.state[None], 200)
        assert result.visits.sum() == 200
        assert not search.forest.edges["pending"][0].any()
        evaluations.append(search.evaluations)
    assert evaluations[1] < evaluations[0] / 2


def test_rollouts_alone_find_the_move_that_wins() -> None:
    """A network that knows nothing, and playouts by patterns: Black takes what is in atari."""
    from envs.games.go.rollout import another_thread, load_policy
    from envs.games.go.rules import set_position

    class Blank(StandIn):
        def begin(self, planes: np.ndarray, handicap: np.ndarray, cells: Any) -> Any:
            count = len(planes)
            return lambda: (np.zeros((count, 26), np.float32), np.zeros(count, np.float32))

    session = Session(load_game("go"), GoOptions(5, komi=5.5))
    board = np.array([list(map(int, row)) for row in
                      ("00100", "01100", "12210", "12221", "12201")], np.int8).ravel()  # fmt: skip
    set_position(session.state, board, 0)
    search = TreeSearch(
        session.game, session.options, 1, SearchConfig(root="puct", symmetries=False), Blank(26),
        max_simulations=400, leaves=8,
        rollouts=RolloutOptions(1.0, lambda: another_thread(load_policy())),
    )  # fmt: skip
    assert search.run(session.state[None], 400).actions[0] == 23
