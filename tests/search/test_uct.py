"""UCT on games whose answers are known, and its own bookkeeping."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from envs.games.registry import load_game
from envs.games.session import Session
from play.match import play_match
from search.player import RESIGN, Limits, RandomPlayer
from search.uct import UctOptions, UctPlayer


def session_after(name: str, moves: str, **options: Any) -> Session:
    game = load_game(name)
    session = Session(game, game.options(**options))
    for move in moves.split():
        session.play(session.action_of(move))
    return session


def uct(**options: Any) -> UctPlayer:
    return UctPlayer(UctOptions(**{"threads": 2, **options}))


def test_the_same_seed_gives_the_same_search() -> None:
    session = session_after("go", "E5 E3", size=9)
    judgements = [uct(playouts=700, seed=seed).judge(session) for seed in (4, 4, 5)]
    np.testing.assert_array_equal(judgements[0].visits, judgements[1].visits)
    assert (judgements[0].visits != judgements[2].visits).any()
    assert judgements[0].visits.sum() == 700


def test_tic_tac_toe_is_never_lost() -> None:
    game = load_game("tic-tac-toe")
    player = uct(playouts=2_000)
    lost = [
        score.losses
        for _, score in play_match([(player, RandomPlayer(1))], game, game.options(), games=40)
    ]
    assert lost[-1] == 0
    results = [
        result.outcome
        for result, _ in play_match(
            [(player, uct(playouts=2_000, seed=9))], game, game.options(), 6
        )
    ]
    assert results == [0] * 6


@pytest.mark.parametrize(
    ("moves", "best"),
    [
        ("4 1 4 1 4 1", "4"),  # four in a column
        ("4 1 4 1 4", "4"),  # the second player must stop it
        ("3 3 4 4", "2 5"),  # three with both ends open win by force
        ("4 1 3 1", "5"),  # likewise; at 2 one end would be closed
    ],
)
def test_connect_four_positions(moves: str, best: str) -> None:
    judgement = uct(playouts=20_000).judge(session_after("connect-four", moves))
    assert str(judgement.action + 1) in best.split()


def test_a_capture_that_decides_is_found() -> None:
    # White's wall of five has one liberty left; taking it wins the whole 5x5 board.
    session = session_after("go", "B5 C5 B4 C4 B3 C3 B2 C2 D5 C1 D4 pass D3 pass D2 pass", size=5)
    judgement = uct(playouts=3_000).judge(session)
    assert session.name_of(judgement.action) in ("B1", "D1")
    assert judgement.visits[judgement.action] == judgement.visits.max()
    assert judgement.variation[0] == judgement.action
    assert judgement.win_rate > 0.9


def test_seconds_end_a_search() -> None:
    session = session_after("go", "", size=9)
    player = uct()
    player.judge(session, Limits(playouts=10))
    began = time.monotonic()
    judgement = player.judge(session, Limits(seconds=0.5))
    assert time.monotonic() - began >= 0.5  # and it ended, though nothing else limits it
    assert judgement.visits.sum() > 10


def test_a_watcher_ends_a_search() -> None:
    session = session_after("go", "", size=9)
    seen = []

    def watch(judgement: Any) -> bool:
        seen.append(int(judgement.visits.sum()))
        return len(seen) < 3

    judgement = uct(playouts=10**6).judge(session, None, watch)
    assert len(seen) == 3
    assert judgement.visits.sum() == seen[-1]


def test_a_full_tree_goes_on_counting() -> None:
    from core.machine.random_numbers import random_state
    from search.uct_tree import make_tree, run_playouts

    session = session_after("go", "", size=5)
    tree, mask = make_tree(60), np.zeros(26, np.uint8)
    run_playouts(
        session.game, tree, session.state, session.state.copy(), mask, random_state(0)[0],
        500, 0.6, 1.1, 1, 0.0, None, False, 0.0,
    )  # fmt: skip
    row = slice(tree.first_child[0], tree.first_child[0] + tree.children[0])
    assert tree.size[0] <= 60
    assert tree.visits[0] == 500 == tree.visits[row].sum()


def test_bad_options_are_refused() -> None:
    with pytest.raises(UserError):
        UctOptions(playouts=0)


PATTERNS = {"policy": "patterns", "rapid": 300.0}


def test_patterns_and_rapid_values_search_alike_from_the_same_seed() -> None:
    session = session_after("go", "E5 E3", size=9)
    judgements = [uct(playouts=300, seed=seed, **PATTERNS).judge(session) for seed in (4, 4, 5)]
    np.testing.assert_array_equal(judgements[0].visits, judgements[1].visits)
    assert (judgements[0].visits != judgements[2].visits).any()
    assert judgements[0].visits.sum() == 300


def test_patterns_find_a_capture_that_decides() -> None:
    session = session_after("go", "B5 C5 B4 C4 B3 C3 B2 C2 D5 C1 D4 pass D3 pass D2 pass", size=5)
    judgement = uct(playouts=1_000, **PATTERNS).judge(session)
    assert session.name_of(judgement.action) in ("B1", "D1")
    assert judgement.win_rate > 0.9


@pytest.mark.parametrize("size", [5, 9, 19])
def test_rapid_values_count_what_was_played_first(size: int) -> None:
    from core.machine.random_numbers import random_state
    from envs.games.go.rollout import another_thread, load_policy
    from search.uct_tree import make_tree, run_playouts

    session = session_after("go", "", size=size)
    tree, mask = make_tree(1_000), np.zeros(size**2 + 1, np.uint8)
    run_playouts(
        session.game, tree, session.state, session.state.copy(), mask, random_state(0)[0],
        40, 0.6, 1.1, 100, 300.0, another_thread(load_policy()), True, 0.0,
    )  # fmt: skip
    row = slice(1, 1 + size**2 + 1)
    moves = tree.actions[row] < size**2
    # A child's own playouts are among its rapid ones; nothing else was expanded.
    assert (tree.rapid_visits[row] >= tree.visits[row]).all()
    assert (np.abs(tree.rapid_outcomes[row]) <= tree.rapid_visits[row]).all()
    # About half of all points are Black's first in each playout, a pass never later on.
    assert 0.3 < tree.rapid_visits[row][moves].sum() / (40 * size**2) < 0.8
    assert tree.rapid_visits[row][~moves] == tree.visits[row][~moves]


def test_priors_are_what_patterns_say_of_legal_moves() -> None:
    from envs.games.go.rollout import another_thread, load_policy, move_weights, previous_point
    from envs.games.go.watch import make_watch, watch_position

    session = session_after("go", "E5 E3 D3 C3 D4 C4 E4 F3 D2", size=9)
    policy, mask = another_thread(load_policy()), session.legal_mask()
    chances, weights, watch = np.zeros(82), np.zeros(82), make_watch()
    session.game.chances(session.state, mask, policy, chances)
    watch_position(session.state, watch, policy.shapes)
    last = previous_point(session.state)
    move_weights(session.state, watch, policy.factors, session.to_move + 1, last, 0, weights)
    weights[:81] *= mask[:81]
    weights[81] = weights[:81].sum() / (weights[:81] > 0).sum()
    np.testing.assert_allclose(chances, weights / weights.sum())
    assert chances[mask == 0].sum() == 0 < chances[81]
    assert chances[:81].max() > 5 / 82  # they say something


def test_priors_decide_where_a_search_looks_first() -> None:
    """Against the formula, child by child, in a search that has seen a little."""
    from core.machine.random_numbers import random_state
    from envs.games.go.rollout import another_thread, load_policy
    from search.uct_tree import REDUCTION, _select_child, make_tree, run_playouts

    session = session_after("go", "E5 E3 D3", size=9)  # White moves: signs are turned
    tree, mask, guide = make_tree(8_000), np.zeros(82, np.uint8), another_thread(load_policy())
    run_playouts(
        session.game, tree, session.state, session.state.copy(), mask, random_state(0)[0],
        300, 0.6, 1.1, 4, 0.0, guide, False, 1.5,
    )  # fmt: skip
    row = slice(tree.first_child[0], tree.first_child[0] + tree.children[0])
    visits, outcomes, priors = tree.visits[row], tree.outcomes[row], tree.priors[row]
    assert visits.sum() == 300 and priors.sum() == pytest.approx(1)
    assert (visits == 0).any() and visits[priors.argmax()] > 5  # UCB1 would have tried them all
    values = np.full(len(visits), -tree.outcomes[0] / 300 - REDUCTION)
    values[visits > 0] = -outcomes[visits > 0] / visits[visits > 0]
    bounds = values + 1.5 * priors * np.sqrt(300) / (1 + visits)
    assert _select_child(tree, 0, 1, 0.6, 1.1, 0.0, 1.5) == tree.first_child[0] + bounds.argmax()


def test_priors_count_where_only_some_moves_are_allowed() -> None:
    session = session_after("go", "E5 E3 D3 C3 D4 C4 E4 F3 D2", size=9)
    player = uct(playouts=60, prior=50.0, threads=1)
    player.judge(session, Limits(playouts=60, allowed=frozenset(range(82))))
    tree = player._trees[0]
    priors = dict(zip(tree.actions[1:83].tolist(), tree.priors[1:83].tolist(), strict=True))
    likeliest, *others = sorted(priors, key=lambda action: -priors[action])
    judged = player.judge(
        session, Limits(playouts=60, allowed=frozenset([*others[-5:], likeliest]))
    )
    assert sum(priors.values()) == pytest.approx(1) and judged.action == likeliest
    assert judged.visits[likeliest] > 40  # a uniform share is ten


def test_priors_find_a_capture_that_decides() -> None:
    session = session_after("go", "B5 C5 B4 C4 B3 C3 B2 C2 D5 C1 D4 pass D3 pass D2 pass", size=5)
    judgement = uct(playouts=1_000, prior=1.0).judge(session)
    assert session.name_of(judgement.action) in ("B1", "D1")
    assert judgement.win_rate > 0.9 and judgement.visits.sum() == 1_000


def test_a_lost_game_is_given_up() -> None:
    # Black has nothing but two stones in a corner that White owns.
    session = session_after("go", "A1 C3 B1 C4 pass D2 pass B2 pass C1 pass D4", size=5)
    assert uct(playouts=300, resign=0.2).judge(session).action == RESIGN
    assert uct(playouts=300).judge(session).action != RESIGN


def test_patterns_are_for_go() -> None:
    for switch in ({"policy": "patterns"}, {"prior": 1.0}):
        with pytest.raises(UserError, match="Othello has no patterns"):
            uct(**switch).judge(session_after("othello", ""))
    for options in (
        {"prior": -1.0},
        {"policy": "none"},
        {"rapid": 100.0},
        {"policy": "patterns", "rapid": -1.0},
    ):
        with pytest.raises(UserError):
            UctOptions(**options)  # type: ignore[arg-type]


def test_players_are_named_with_their_settings() -> None:
    from play.players import make_player

    prior = make_player("uct:50,prior=1.5")
    assert isinstance(prior, UctPlayer) and prior.options.prior == 1.5
    assert prior.name == "UCT 50 prior 1.5"
    player = make_player("uct:0.5s,playouts=patterns,rapid=300,exploration=0.2,resign=0.05")
    assert isinstance(player, UctPlayer)
    options = player.options
    assert (options.seconds, options.policy, options.rapid) == (0.5, "patterns", 300.0)
    assert (options.exploration, options.resign) == (0.2, 0.05)
    for bad in ("uct:1.5", "uct:0", "uct:5s,rapid", "uct:5,patterns=1", "uct:5,playouts=good"):
        with pytest.raises(UserError):
            make_player(bad)
