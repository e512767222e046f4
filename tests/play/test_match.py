"""Matches: who won, by how much Elo, how disputes end, and games at once."""

from __future__ import annotations

import math
import os
import shutil
import sys
from typing import Any

import numpy as np
import pytest

from commands.match import main as match_main
from commands.match import summary
from core.errors import UserError
from envs.games.go import rules
from envs.games.go.game import GO
from envs.games.options import RULESETS, GoOptions
from envs.games.registry import GAMES, load_game
from envs.games.session import Session
from play.engine_player import Disagreement, EnginePlayer
from play.match import Score, play_game, play_match
from play.players import LEVELS, default_referee, make_player
from search.player import RESIGN, Judgement, RandomPlayer, without_suicide
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


def count(black: Scripted, white: Scripted, ruleset: str, referee: Any = None) -> tuple[str, str]:
    options = GoOptions(size=5, komi=0.5, rules=ruleset)  # type: ignore[arg-type]
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


class Refuser(Scripted):
    """Calls every move of the other illegal, as an engine that answers `? illegal move`."""

    name = "refuser"

    def judge(self, session: Session, limits: Any = None, watch: Any = None) -> Judgement:
        if session.actions:
            raise Disagreement("refuser: 'play' is refused")
        return super().judge(session)


class Accepting(Scripted):
    """A referee with a word on every game."""

    def __init__(self, answer: bool) -> None:
        super().__init__("")
        self.answer = answer

    def accepts(self, session: Session) -> bool:
        return self.answer


@pytest.mark.parametrize(
    ("referee", "outcome", "how", "void"),
    [
        (None, 0, "Void", True),
        (Accepting(False), 0, "Void", True),
        (Accepting(True), 1, "B+F", False),
    ],
)
def test_a_refused_move_is_a_disagreement(referee: Any, outcome: int, how: str, void: bool) -> None:
    session = Session(GO, GoOptions(size=5))
    result = play_game(Scripted("C3"), Refuser(""), session, referee)
    assert (result.outcome, result.how, result.void, result.fault) == (outcome, how, void, not void)
    score = Score()
    score.add(result, -1)
    assert (score.losses, score.voids, score.draws) == (outcome, void, 0)


def test_an_engine_that_refuses_everything_wins_and_loses_nothing() -> None:
    code = (
        "import sys\n"
        "for line in sys.stdin:\n"
        "    word = line.split()[0]\n"
        "    print('? illegal move' if word == 'play' else '= A1' if word == 'genmove' else '=',"
        " end='\\n\\n', flush=True)\n"
    )
    engine = EnginePlayer([sys.executable, "-c", code])
    try:
        pairs = [(Scripted("C3 C3 C3 C3"), engine)]
        results = list(play_match(pairs, GO, GoOptions(size=5), games=2))
    finally:
        engine.close()
    score = results[-1][1]
    assert (score.games, score.voids, score.faults) == (0, 2, 0)
    assert "illegal move" in results[0][0].note
    assert summary(score, "a", "b") == (
        "a against b: no game counts, 2 void by disagreement on the rules"
    )


def test_no_default_allows_suicide() -> None:
    assert not RULESETS[GoOptions().rules].suicide
    assert GAMES["go"].summary == "Go, rules chinese"


def test_a_lost_search_does_not_kill_itself() -> None:
    # All of Black's moves lose; A4 with E4 would take two of his own stones off.
    picture = np.array([[1, 0, 2, 2, 2], [2, 2, 2, 2, 0], [2] * 5, [2] * 5, [0] + [2] * 4], np.int8)
    options = GoOptions(size=5, rules="tromp-taylor")
    session = Session(GO, options)
    assert rules.set_position(session.state, picture.ravel(), 0)
    suicide = session.action_of("B5")
    assert session.legal_mask()[suicide] and rules.is_suicide(session.state, suicide)
    for seed in range(5):
        player = UctPlayer(UctOptions(playouts=200, threads=1, seed=seed))
        judgement = player.judge(session)
        player.close()
        assert judgement.action != suicide
    visits, values = judgement.visits.copy(), judgement.values.copy()
    visits[suicide], values[suicide] = 1_000, 0.9
    assert without_suicide(session, suicide, visits, values) == suicide


def test_players_that_differ_have_other_names() -> None:
    names = ("uct:9", "uct:9,exploration=0.2", "uct:9,playouts=patterns,rapid=300")
    players = [make_player(name, threads=1) for name in names]
    assert [player.name for player in players] == [
        "UCT 9", "UCT 9 exploration 0.2", "UCT 9 patterns rapid 300",
    ]  # fmt: skip
    for player in players:
        player.close()
    with pytest.raises(UserError, match="there is no player"):
        make_player("shipped,temperature=1")


def test_easy_errs_and_strong_does_not() -> None:
    session, chosen = Session(GO, GoOptions()), set()
    for seed in range(5):
        player = make_player("easy", seed, threads=1)
        chosen.add(player.judge(session).action)
        player.close()
    assert len(chosen) > 2
    settings = {name: make_player(name, threads=1).options for name in LEVELS}  # type: ignore[attr-defined]
    assert [(s.visits, s.temperature) for s in settings.values()] == [(16, 4), (16, 1), (400, 0)]
    with pytest.raises(UserError, match="there is no player 'easy:5'"):
        make_player("easy:5")


@pytest.mark.parametrize("first", ["shipped", "gtp:{python} -m tengen gtp --agent random"])
def test_a_player_of_another_game_is_refused_before_the_first_game(
    first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="not Othello"):
        match_main(["othello", "--first", first.format(python=sys.executable)])
    assert "game 1/" not in capsys.readouterr().out


def test_a_lost_game_of_go_is_given_up_by_who_may() -> None:
    session = Session(GO, GoOptions(size=5, komi=100.0))
    for name, resigns in (("uct:300", True), ("uct:300,resign=0", False)):
        player = make_player(name)
        assert (player.judge(session).action == RESIGN) == resigns
        player.close()
    # White, who wins, plays on.
    session.play(session.action_of("C3"))
    player = make_player("uct:300")
    assert player.judge(session).action >= 0
    player.close()


@pytest.mark.skipif(GNUGO is None, reason="GNU Go is not installed")
@pytest.mark.parametrize("ruleset", ["chinese", "cgos"])
def test_gnu_go_is_the_referee_where_nobody_else_is_named(
    ruleset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = f"gtp:{GNUGO} --mode gtp --level 1 --chinese-rules"
    argv = ["--size", "5", "--komi", "0.5", "--rules", ruleset, "--games", "2"]
    assert match_main(["go", *argv, "--first", "uct:200,resign=0", "--second", engine]) == 0
    said = capsys.readouterr().out
    assert "disputed" not in said and "fault" not in said and "void" not in said
    assert default_referee(GoOptions(rules="tromp-taylor")).endswith(
        "--positional-superko --allow-suicide"
    )


def test_a_referee_is_asked_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert default_referee(GoOptions()) == ""
