"""Matches: who won, by how much Elo, how disputes end, and games at once."""

from __future__ import annotations

import math
import os
import shutil
import sys
from typing import Any

import numpy as np
import pytest

from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.registry import load_game
from envs.games.session import Session
from play.engine_player import EnginePlayer
from play.match import Score, play_game, play_match
from search.player import Judgement, RandomPlayer
from search.uct import UctOptions, UctPlayer

GNUGO = shutil.which("gnugo", path=f"{os.environ.get('PATH', '')}:/usr/games")


class Scripted(RandomPlayer):
    """Plays given moves, then passes; thinks given stones dead."""

    def __init__(self, moves: str, dead: str | None = None) -> None:
        super().__init__()
        self.moves, self.dead = moves.split(), dead

    def judge(self, session: Session, limits: Any = None, watch: Any = None) -> Judgement:
        action = session.action_of(self.moves.pop(0) if self.moves else "pass")
        return Judgement(action, 0.0, np.zeros(26, np.int64), np.zeros(26))

    def dead_stones(self, session: Session) -> set[int] | None:
        if self.dead is None:
            return None
        return {session.action_of(word) for word in self.dead.split()}


# Black walls off the left three columns of 5x5, White the right two; a white stone stands on A3.
BLACK, WHITE = "C1 C2 C3 C4 C5", "D1 D2 D3 D4 D5 A3"


def count(black: Scripted, white: Scripted, rules: str, referee: Any = None) -> tuple[str, str]:
    options = GoOptions(size=5, komi=0.5, rules=rules)  # type: ignore[arg-type]
    result = play_game(black, white, Session(GO, options), referee)
    return result.how, result.note


def test_dead_stones_are_agreed_on() -> None:
    black, white = Scripted(BLACK, "A3"), Scripted(WHITE, "A3")
    assert count(black, white, "chinese") == ("B+4.5", "agreed; with every stone alive W+6.5")


def test_who_has_no_opinion_agrees() -> None:
    assert count(Scripted(BLACK), Scripted(WHITE, "A3"), "chinese")[0] == "B+4.5"
    assert count(Scripted(BLACK), Scripted(WHITE), "chinese")[0] == "W+6.5"


def test_some_rules_leave_no_say() -> None:
    black, white = Scripted(BLACK, "A3"), Scripted(WHITE, "A3")
    assert count(black, white, "tromp-taylor") == ("W+6.5", "")


def test_a_dispute_is_played_out_then_refereed() -> None:
    # After the first two passes Black takes the stone off the board.
    black = Scripted(BLACK + " pass A4 B3 A2", "")
    white = Scripted(WHITE + " pass", "B3 A3")
    black.dead, white.dead = "A3", ""
    how, note = count(black, white, "chinese", Scripted("", "A3"))
    assert how == "B+4.5"
    assert note == "counted by random; with every stone alive B+4.5"
    black, white = Scripted(BLACK, "A3"), Scripted(WHITE, "")
    assert count(black, white, "chinese") == ("W+6.5", "disputed; with every stone alive W+6.5")


def test_elo_and_its_interval() -> None:
    score = Score(wins=30, losses=10)
    elo, low, high = score.elo()
    assert elo == pytest.approx(400 * math.log10(3), abs=0.1)
    assert low < elo < high
    # Wilson's interval of 30 of 40, from its formula worked by hand.
    assert score.interval() == pytest.approx((0.598, 0.858), abs=0.001)
    assert Score(wins=5).elo()[0] == math.inf


def test_games_at_once_are_the_games_one_by_one() -> None:
    game = load_game("connect-four")
    records = []
    for parallel in (1, 3):
        pairs = [
            (UctPlayer(UctOptions(playouts=50, threads=1)), RandomPlayer()) for _ in range(parallel)
        ]
        match = play_match(pairs, game, game.options(), games=8, opening_moves=2, seed=5)
        records.append([result.session.actions for result, _ in match])
    assert records[0] == records[1]
    for first, second in zip(records[0][::2], records[0][1::2], strict=True):
        assert first[:2] == second[:2]
    assert len({tuple(r[:2]) for r in records[0]}) > 1


def test_colours_alternate_and_points_follow() -> None:
    game = load_game("connect-four")
    pairs = [(UctPlayer(UctOptions(playouts=300, threads=1)), RandomPlayer())]
    results = [r for r, _ in play_match(pairs, game, game.options(), games=6)]
    assert [r.first for r in results] == ["UCT 300", "random"] * 3
    assert [r.outcome for r in results] == [1, -1] * 3


@pytest.mark.skipif(GNUGO is None, reason="GNU Go is not installed")
def test_gnu_go_and_our_gtp_engine_play_each_other_in_both_colours() -> None:
    ours = EnginePlayer([sys.executable, "-m", "tengen", "gtp", "--agent", "uct:100"])
    theirs = EnginePlayer(
        f"{GNUGO} --mode gtp --level 1 --chinese-rules --positional-superko --forbid-suicide"
        " --capture-all-dead"
    )
    options = GoOptions(size=7, rules="cgos")
    try:
        games = [result for result, _ in play_match([(ours, theirs)], GO, options, games=2)]
    finally:
        ours.close()
        theirs.close()
    assert [game.first for game in games] == ["Tengen", "GNU Go"]
    for game in games:
        assert not game.fault, game.note
        assert game.session.is_over or game.how.endswith("+R")
