"""The trees of the kernels against trees grown slowly from the papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from envs.games.options import ConnectFourOptions, GoOptions, OthelloOptions, TicTacToeOptions
from envs.games.registry import load_game
from envs.games.session import Session
from envs.games.state import NO_ACTION
from search.config import SearchConfig
from search.gumbel import halving_schedule
from search.puct import as_seen_by
from search.tree_search import TreeSearch
from tests.search.slow_tree_search import Node, SlowSearch, StandIn

GAMES: list[tuple[str, Any]] = [
    ("tic-tac-toe", TicTacToeOptions()),
    ("connect-four", ConnectFourOptions()),
    ("othello", OthelloOptions(6)),
    ("go", GoOptions(5)),
]
PLAIN = SearchConfig(root="puct", symmetries=False, forced_playouts=0, dirichlet_weight=0)
HALVING = SearchConfig(symmetries=False)


def positions(name: str, options: Any, count: int, seed: int = 0) -> list[Session]:
    """Positions after a few random moves, none of them over."""
    game, rng = load_game(name), np.random.default_rng(seed)
    found: list[Session] = []
    while len(found) < count:
        session = Session(game, options)
        for _ in range(rng.integers(0, 5)):
            if not session.is_over:
                session.play(int(rng.choice(np.flatnonzero(session.legal_mask()))))
        if not session.is_over:
            found.append(session)
    return found


def make_search(
    sessions: list[Session], config: SearchConfig, most: int = 200, **more: Any
) -> TreeSearch:
    game, options = sessions[0].game, sessions[0].options
    evaluator = more.pop("evaluator", StandIn(game.actions(options)))
    return TreeSearch(game, options, len(sessions), config, evaluator, max_simulations=most, **more)


def states_of(sessions: list[Session]) -> np.ndarray:
    return np.stack([session.state for session in sessions])


def require_same_tree(search: TreeSearch, g: int, slow: Node) -> None:
    """Compare everything below a root: priors, visits, values, shape."""
    forest = search.forest
    waiting = [(0, slow)]
    while waiting:
        node, wanted = waiting.pop()
        here = forest.nodes[g, node]
        assert here["to_move"] == wanted.player
        assert here["visits"] == wanted.visits
        first, count = here["first_edge"], here["edge_count"]
        written = first + (count if node == 0 else here["tried"])
        edges = {int(forest.action[g, e]): e for e in range(first, first + count)}
        assert sorted(edges) == sorted(edge.action for edge in wanted.edges)
        for edge in wanted.edges:
            e = edges[edge.action]
            assert forest.prior[g, e] == pytest.approx(edge.prior, abs=1e-6)
            if e >= written:
                assert edge.visits == 0
                continue
            assert forest.edges[g, e]["visits"] == edge.visits
            assert forest.edges[g, e]["pending"] == 0
            total = as_seen_by(forest.edges[g, e]["value_sum"], wanted.player)
            assert total == pytest.approx(edge.total, abs=1e-4)
            if edge.child is not None:
                waiting.append((int(forest.edges[g, e]["child"]), edge.child))


@pytest.mark.parametrize(("name", "options"), GAMES)
def test_puct_grows_the_tree_of_the_paper(name: str, options: Any) -> None:
    sessions = positions(name, options, 6)
    search = make_search(sessions, PLAIN)
    result = search.run(states_of(sessions), 120)
    for g, session in enumerate(sessions):
        slow = SlowSearch(session)
        for _ in range(120):
            slow.simulate()
        require_same_tree(search, g, slow.root)
        assert result.visits[g].sum() == 120
        most = max(edge.visits for edge in slow.root.edges)
        assert result.visits[g, result.actions[g]] == most


@pytest.mark.parametrize(("name", "options"), GAMES)
@pytest.mark.parametrize("simulations", [1, 2, 5, 16, 32, 50, 64])
def test_gumbel_grows_the_tree_of_the_paper(name: str, options: Any, simulations: int) -> None:
    sessions = positions(name, options, 4, seed=simulations)
    search = make_search(sessions, HALVING)
    result = search.run(states_of(sessions), simulations)
    for g, session in enumerate(sessions):
        slow = SlowSearch(session)
        action = slow.gumbel(simulations, 16, np.zeros(200))
        require_same_tree(search, g, slow.root)
        assert result.actions[g] == action
        np.testing.assert_allclose(result.policy_target[g], slow.policy(), atol=2e-4)


def test_the_halving_schedule_spends_its_simulations_in_shrinking_rounds() -> None:
    assert halving_schedule(4, 8) == (0, 0, 0, 0, 1, 1, 2, 2)
    assert halving_schedule(1, 3) == (0, 1, 2)
    assert halving_schedule(16, 4) == (0, 0, 0, 0)
    for considered in range(1, 20):
        for simulations in (1, 7, 16, 64, 200):
            schedule = halving_schedule(considered, simulations)
            assert len(schedule) == simulations
            assert sum(wanted == 0 for wanted in schedule) == min(considered, simulations)


def test_threads_and_halves_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.tree_search._GAMES_WORTH_A_THREAD", 1)
    sessions = positions("go", GoOptions(5), 7)
    states = states_of(sessions)
    alone = make_search(sessions, SearchConfig(), seed=3).run(states, 40, noise=True)
    actions = 26
    overlapping = StandIn(actions, overlaps=True)
    threaded = make_search(sessions, SearchConfig(), seed=3, threads=3, evaluator=overlapping)
    other = threaded.run(states, 40, noise=True)
    for name in ("actions", "visits", "values", "policy_target", "root_values"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(other, name))


def test_games_of_a_batch_are_independent() -> None:
    sessions = positions("othello", OthelloOptions(6), 5)
    together = make_search(sessions, HALVING).run(states_of(sessions), 30)
    for g, session in enumerate(sessions):
        alone = make_search([session], HALVING).run(states_of([session]), 30)
        np.testing.assert_array_equal(alone.visits[0], together.visits[g])
        np.testing.assert_allclose(alone.policy_target[0], together.policy_target[g], atol=1e-6)


@pytest.mark.parametrize("config", [PLAIN, HALVING])
def test_each_game_may_have_a_budget_of_its_own(config: SearchConfig) -> None:
    sessions, budgets = positions("othello", OthelloOptions(6), 4), [30, 0, 7, 30]
    together = make_search(sessions, config).run(states_of(sessions), np.array(budgets))
    assert together.visits.sum(axis=1).tolist() == budgets
    for g, (session, budget) in enumerate(zip(sessions, budgets, strict=True)):
        alone = make_search([session], config).run(states_of([session]), budget)
        np.testing.assert_array_equal(alone.visits[0], together.visits[g])
        assert alone.actions[0] == together.actions[g]


@pytest.mark.parametrize("config", [PLAIN, HALVING])
def test_several_leaves_a_tick_spend_the_same_budget(config: SearchConfig) -> None:
    sessions = positions("go", GoOptions(5), 2)
    search = make_search(sessions, config, leaves=8)
    result = search.run(states_of(sessions), 100)
    assert result.visits.sum(axis=1).tolist() == [100, 100]
    assert not search.forest.edges["pending"].any()


def test_a_kept_tree_equals_the_branch_it_came_from() -> None:
    sessions = positions("connect-four", ConnectFourOptions(), 3)
    search = make_search(sessions, PLAIN, most=300)
    result = search.run(states_of(sessions), 150)
    branches = []
    for g, session in enumerate(sessions):
        slow = SlowSearch(session)
        for _ in range(150):
            slow.simulate()
        branches.append(next(e.child for e in slow.root.edges if e.action == result.actions[g]))
        session.play(int(result.actions[g]))
    search.advance(result.actions)
    for g, branch in enumerate(branches):
        assert branch is not None
        require_same_tree(search, g, branch)
    again = search.run(states_of(sessions), 20, keep_trees=True)
    for g, branch in enumerate(branches):
        assert branch is not None
        assert again.visits[g].sum() == branch.visits - 1 + 20


class PerfectTicTacToe:
    """The value of perfect play and no opinion on moves."""

    overlaps = False

    def __init__(self) -> None:
        self._values: dict[bytes, float] = {}

    def value(self, own: np.ndarray, other: np.ndarray) -> float:
        key = own.tobytes() + other.tobytes()
        if key not in self._values:
            lines = [
                *np.arange(9).reshape(3, 3),
                *np.arange(9).reshape(3, 3).T,
                [0, 4, 8],
                [2, 4, 6],
            ]
            if any(other[line].all() for line in lines):
                self._values[key] = -1.0
            elif (own | other).all():
                self._values[key] = 0.0
            else:
                best = -1.0
                for cell in np.flatnonzero(~(own | other)):
                    after = own.copy()
                    after[cell] = True
                    best = max(best, -self.value(other, after))
                self._values[key] = best
        return self._values[key]

    def begin(self, planes: np.ndarray, handicap: np.ndarray, cells: Any) -> Any:
        flat = planes.reshape(len(planes), 2, 9).astype(bool)
        values = np.array([self.value(own, other) for own, other in flat], np.float32)
        return lambda: (np.zeros((len(planes), 9), np.float32), values)


@pytest.mark.parametrize("config", [PLAIN, HALVING])
def test_with_perfect_values_play_is_perfect(config: SearchConfig) -> None:
    """Tic-tac-toe: the chosen move keeps the value of the position."""
    oracle = PerfectTicTacToe()
    game, options = load_game("tic-tac-toe"), TicTacToeOptions()
    sessions, seen = [Session(game, options)], set()
    for session in sessions:
        for action in np.flatnonzero(session.legal_mask()):
            after = Session(game, options, session.state)
            after.play(int(action))
            if not after.is_over and after.cells().tobytes() not in seen:
                seen.add(after.cells().tobytes())
                sessions.append(after)
    assert len(sessions) == 4520
    # Enough simulations for means to come near to the best reply; a tenth of all positions.
    sessions = sessions[::10]
    search = make_search(sessions, config, most=128, evaluator=oracle, threads=2)
    result = search.run(states_of(sessions), 128)
    for session, action in zip(sessions, result.actions, strict=True):
        own, other = session.observation().reshape(2, 9).astype(bool)
        before = oracle.value(own, other)
        session.play(int(action))
        if session.is_over:
            after = session.outcome * (1 if session.to_move == 1 else -1)
        else:
            after = -oracle.value(*session.observation().reshape(2, 9).astype(bool))
        assert after == before, session.cells()


def test_gumbel_improves_the_policy_in_expectation() -> None:
    """Danihelka et al. 2022: the value of the improved policy, and of the action that is chosen, is
    at least that of the network's policy, however few simulations."""
    session = Session(load_game("tic-tac-toe"), TicTacToeOptions())
    for action in (0, 4, 8, 1):
        session.play(action)
    oracle = PerfectTicTacToe()
    true = np.full(9, np.nan)
    for action in np.flatnonzero(session.legal_mask()):
        after = Session(session.game, session.options, session.state)
        after.play(int(action))
        true[action] = -oracle.value(*after.observation().reshape(2, 9).astype(bool))
    logits = np.random.default_rng(5).normal(size=9).astype(np.float32)

    class Opinionated(PerfectTicTacToe):
        def begin(self, planes: np.ndarray, handicap: np.ndarray, cells: Any) -> Any:
            values = super().begin(planes, handicap, cells)()[1]
            return lambda: (np.tile(logits, (len(planes), 1)), values)

    legal = ~np.isnan(true)
    odds = np.exp(logits[legal])
    before = float((odds / odds.sum() * true[legal]).sum())
    games = 400
    for simulations in (2, 3, 4, 8):
        search = make_search(
            [session] * games, HALVING, evaluator=Opinionated(), seed=simulations, threads=2
        )
        result = search.run(np.tile(session.state, (games, 1)), simulations, noise=True)
        played = true[result.actions]
        assert played.mean() > before + 2 * played.std() / games**0.5
        improved = np.nansum(result.policy_target * np.where(legal, true, 0.0), axis=1)
        assert improved.mean() > before


def test_forced_playouts_do_not_reach_the_policy_target() -> None:
    sessions = positions("go", GoOptions(5), 16, seed=9)
    config = SearchConfig(root="puct", symmetries=False)
    search = make_search(sessions, config, seed=1)
    result = search.run(states_of(sessions), 150, noise=True)
    visits = result.visits / result.visits.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.policy_target.sum(axis=1), 1, atol=1e-5)
    best = result.visits.argmax(axis=1)
    rows = np.arange(len(best))
    assert (result.policy_target[rows, best] >= visits[rows, best] - 1e-6).all()
    assert (result.policy_target > 0).sum() < (visits > 0).sum()
    assert ((result.policy_target > 0) <= (visits > 0)).all()


def test_finished_games_and_single_moves_are_defined() -> None:
    game, options = load_game("tic-tac-toe"), TicTacToeOptions()
    over, single = Session(game, options), Session(game, options)
    for action in (0, 3, 1, 4, 2):
        over.play(action)
    for action in (0, 1, 2, 4, 3, 5, 7, 6):
        single.play(action)
    sessions = [over, single]
    for config in (PLAIN, HALVING):
        result = make_search(sessions, config).run(states_of(sessions), 10)
        assert result.actions.tolist() == [NO_ACTION, 8]
        assert result.visits.sum(axis=1).tolist() == [0, 10]
        assert result.root_values[0] == -1  # the second player is to move and has lost


def test_no_simulations_play_by_the_network_alone() -> None:
    sessions = positions("go", GoOptions(5), 4)
    for config in (PLAIN, HALVING):
        result = make_search(sessions, config).run(states_of(sessions), 0)
        assert (result.actions == result.priors.argmax(axis=1)).all()
        np.testing.assert_allclose(result.policy_target, result.priors, atol=1e-5)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_numbers_that_are_none_are_caught_where_they_appear(broken: float) -> None:
    class Broken(StandIn):
        def begin(self, planes: np.ndarray, handicap: np.ndarray, cells: Any) -> Any:
            logits, values = super().begin(planes, handicap, cells)()
            values[-1] = broken
            return lambda: (logits, values)

    sessions = positions("go", GoOptions(5), 3)
    search = make_search(sessions, PLAIN, evaluator=Broken(26))
    with pytest.raises(UserError, match="not finite"):
        search.run(states_of(sessions), 5)


def test_symmetries_average_out_what_the_network_thinks_of_a_corner() -> None:
    """On the empty board all corners are alike; with turned evaluations a biased network's
    preference follows the turn."""
    session = Session(load_game("go"), GoOptions(5))

    class Corner(StandIn):
        def begin(self, planes: np.ndarray, handicap: np.ndarray, cells: Any) -> Any:
            logits = np.zeros((len(planes), 26), np.float32)
            logits[:, 0] = 5.0
            return lambda: (logits, np.zeros(len(planes), np.float32))

    search = make_search([session], SearchConfig(root="puct"), evaluator=Corner(26))
    played = [int(search.run(session.state[None], 0).actions[0]) for _ in range(200)]
    counts = np.bincount(played, minlength=26)
    assert set(np.flatnonzero(counts)) == {0, 4, 20, 24}
    assert counts[[0, 4, 20, 24]].min() > 25


def test_the_watcher_stops_a_search() -> None:
    sessions = positions("go", GoOptions(5), 1)
    ticks = iter([True, True, False])
    search = make_search(sessions, PLAIN)
    result = search.run(states_of(sessions), 100, watch=lambda: next(ticks))
    assert 0 < result.visits.sum() < 10


def test_roots_keep_the_allowed_actions_alone() -> None:
    sessions = positions("tic-tac-toe", TicTacToeOptions(), 3)
    allowed = np.stack([session.legal_mask() for session in sessions])
    for row in allowed:
        row[np.flatnonzero(row)[2:]] = 0
    search = make_search(sessions, PLAIN)
    result = search.run(states_of(sessions), 30, allowed=allowed)
    assert (result.visits.sum(axis=1) == 30).all()
    assert (result.visits[allowed == 0] == 0).all() and (result.visits[allowed == 1] > 0).all()
    assert result.priors.sum(axis=1) == pytest.approx(1)
