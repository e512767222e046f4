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
from search.player import Limits, RandomPlayer
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
        500, 0.6, 1.1, 1,
    )  # fmt: skip
    row = slice(tree.first_child[0], tree.first_child[0] + tree.children[0])
    assert tree.size[0] <= 60
    assert tree.visits[0] == 500 == tree.visits[row].sum()


def test_bad_options_are_refused() -> None:
    with pytest.raises(UserError):
        UctOptions(playouts=0)
