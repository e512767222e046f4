"""The board behind GTP: no end by the number of moves, and no history lost to that."""

from __future__ import annotations

import random

import numpy as np

from envs.games.options import GoOptions
from play.gtp.board import GtpBoard
from search.uct import UctOptions, UctPlayer


def test_play_and_search_go_on_after_the_move_limit() -> None:
    board = GtpBoard(GoOptions(5, move_limit=4))
    for number in range(12):
        board.play(number % 2, "pass")
    board.play(0, "C3")
    session = board.turned_to(1)
    assert not session.is_over
    session.play(session.action_of("B2"))
    assert not session.is_over
    player = UctPlayer(UctOptions(playouts=200, threads=1))
    judgement = player.judge(board.turned_to(1))
    player.close()
    # A search that took the game for over would spend its playouts on no line at all.
    assert len(judgement.variation) > 1
    board.undo()
    board.undo()
    assert not board.session.cells().any()


def test_superko_remembers_beyond_the_limit() -> None:
    draw = random.Random(3)
    short = GtpBoard(GoOptions(3, rules="tromp-taylor", move_limit=5))
    long = GtpBoard(GoOptions(3, rules="tromp-taylor", move_limit=2_000))
    for number in range(400):
        masks = [board.turned_to(number % 2).legal_mask() for board in (short, long)]
        assert np.array_equal(masks[0], masks[1])
        moves = [int(action) for action in np.flatnonzero(masks[0])]
        action = draw.choice(moves[:-1] or moves)
        for board in (short, long):
            board.play_action(number % 2, action)
    assert short.session.state.size > GtpBoard(GoOptions(3)).session.state.size


def test_a_new_game_has_the_old_limit() -> None:
    board = GtpBoard(GoOptions(3))
    for number in range(200):
        board.play(number % 2, "pass")
    assert board.options.limit > 200
    board.clear(size=5)
    assert board.options.limit == GoOptions(5).limit
