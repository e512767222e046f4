"""A GTP engine that hangs, crashes or talks nonsense is an error of one line, never a hang."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.session import Session
from play.engine import Engine, EngineError, EngineRefusal
from play.engine_player import EnginePlayer
from play.match import play_match
from play.players import make_player
from search.player import RESIGN, Limits, RandomPlayer

FAKE = """
import sys, time
print("a banner that is no GTP", flush=True)
for line in sys.stdin:
    name, *words = line.split()
    answer = "= "
    if name == "name": answer = "= Fake\\x20engine"
    elif name == "echo": answer = "=12 " + " ".join(words) + "\\nsecond line"
    elif name == "refuse": answer = "? no"
    elif name == "hang": time.sleep(3600)
    elif name == "crash": sys.exit(3)
    elif name == "flood": answer = "= " + "x" * 3_000_000
    elif name == "genmove": answer = "= " + (sys.argv[1] if len(sys.argv) > 1 else "resign")
    sys.stdout.write(answer + "\\n\\n"); sys.stdout.flush()
    if name == "quit": break
"""


@pytest.fixture
def fake(tmp_path: Path) -> list[str]:
    (tmp_path / "engine.py").write_text(FAKE)
    return [sys.executable, str(tmp_path / "engine.py")]


def test_answers_and_refusals(fake: list[str]) -> None:
    with Engine(fake) as engine:
        assert engine.send("name") == "Fake engine"
        assert engine.send("echo a b") == "a b\nsecond line"
        with pytest.raises(EngineRefusal, match="refuses 'refuse': no"):
            engine.send("refuse")
        assert engine.send("name") == "Fake engine"
    assert not engine.is_alive


def test_a_hanging_engine_is_ended(fake: list[str]) -> None:
    with Engine(fake) as engine:
        with pytest.raises(EngineError, match=r"did not answer 'hang' in 0.5 s"):
            engine.send("hang", seconds=0.5)
        with pytest.raises(EngineError):
            engine.send("name")


@pytest.mark.parametrize("command", ["crash", "flood"])
def test_a_crashing_or_flooding_engine_is_an_error(fake: list[str], command: str) -> None:
    with Engine(fake) as engine, pytest.raises(EngineError, match=f"ended at '{command}'"):
        engine.send(command)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("gnugo:1", "'gtp:gnugo --mode gtp'"),
        ("/opt/gnugo --level 1", "'gtp:/opt/gnugo --level 1'"),
        (sys.executable, f"gtp:{sys.executable}"),
    ],
)
def test_an_engine_named_bare_is_told_its_name(name: str, advice: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"named by its command: {advice}")):
        make_player(name)


def test_a_missing_engine_is_one_line() -> None:
    with pytest.raises(UserError, match="is it installed"):
        Engine("no-such-engine --gtp")


@pytest.mark.parametrize(("answer", "how"), [("resign", "W+R"), ("Q77", "W+F"), ("A0", "W+F")])
def test_a_match_counts_what_engines_do(fake: list[str], answer: str, how: str) -> None:
    player = EnginePlayer([*fake, answer])
    try:
        results = list(play_match([(player, RandomPlayer())], GO, GoOptions(size=5), games=1))
    finally:
        player.close()
    result, score = results[0]
    assert (result.how, score.losses, score.faults) == (how, 1, int(how == "W+F"))


def test_an_illegal_move_loses(fake: list[str]) -> None:
    player = EnginePlayer([*fake, "C3"])
    try:
        ((result, score),) = play_match([(player, RandomPlayer())], GO, GoOptions(size=5), games=1)
    finally:
        player.close()
    assert (result.how, score.faults) == ("W+F", 1)
    assert "not a legal move" in result.note


def test_resigning_is_an_action(fake: list[str]) -> None:
    player = EnginePlayer([*fake, "resign"])
    assert player.judge(Session(GO, GoOptions(size=5))).action == RESIGN
    player.close()


ONCE = """
import os, sys
for line in sys.stdin:
    if line.startswith("genmove"):
        if not os.path.exists(sys.argv[1]):
            open(sys.argv[1], "w").close()
            sys.exit(1)
        sys.stdout.write("= resign\\n\\n")
    else:
        sys.stdout.write("=\\n\\n")
    sys.stdout.flush()
    if line.startswith("quit"): break
"""
RULES = """
import json, sys
known = sys.argv[1] == "knows"
for line in sys.stdin:
    name, _, rest = line.strip().partition(" ")
    answer = "= "
    if name == "known_command": answer = "= true"
    elif name == "kata-set-rules":
        answer = "= " if known and json.loads(rest)["ko"] == "POSITIONAL" else "? unknown rules"
    elif name == "genmove": answer = "= C3"
    sys.stdout.write(answer + "\\n\\n"); sys.stdout.flush()
    if name == "quit": break
"""


def test_handicap_stones_are_paid_for_once(tmp_path: Path) -> None:
    # KataGo adds what its rules give for the stones itself (docs/GTP_Extensions.md).
    (tmp_path / "engine.py").write_text(RULES)
    for rules, komi in (("chinese-superko", "6.5"), ("cgos", "6.5")):
        player = EnginePlayer([sys.executable, str(tmp_path / "engine.py"), "knows"])
        player.judge(Session(GO, GoOptions(9, komi=6.5, rules=rules, handicap=2)))
        sent = [line[2:] for line in player.engine.transcript if line.startswith("> ")]
        player.close()
        assert sent[-3:] == [f"komi {komi}", "set_free_handicap G7 C3", "genmove white"]
    ours = EnginePlayer([sys.executable, "-m", "tengen", "gtp", "--agent", "random"])
    session = Session(GO, GoOptions(9, komi=6.5, rules="chinese-superko", handicap=2))
    assert ours.final_score(session) == f"B+{session.margin():g}"
    ours.close()


def test_an_engine_that_crashed_is_started_again(tmp_path: Path) -> None:
    # It ends in its first game, and resigns in every later one.
    (tmp_path / "engine.py").write_text(ONCE)
    player = EnginePlayer([sys.executable, str(tmp_path / "engine.py"), str(tmp_path / "once")])
    played = play_match([(player, RandomPlayer())], GO, GoOptions(size=5), games=2)
    assert [result.how for result, _ in played] == ["W+F", "B+R"]
    player.close()


@pytest.mark.parametrize("command", ["gnugo '", 'x "y'])
def test_a_command_with_an_open_quotation_is_one_line(command: str) -> None:
    with pytest.raises(UserError, match="cannot be read: No closing quotation"):
        make_player(f"gtp:{command}")


def test_what_is_no_stone_is_not_dead(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text(FAKE.replace('"= "', '"= pass A1 C3"', 1))
    player = EnginePlayer([sys.executable, str(tmp_path / "engine.py")])
    session = Session(GO, GoOptions(size=5))
    session.play(session.action_of("C3"))
    assert player.dead_stones(session) == {12}
    player.close()


def test_rules_are_told_as_katago_writes_them_and_refusals_are_heard(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text(RULES)
    session = Session(GO, GoOptions(5, rules="chinese-superko"))
    for knows in ("knows", "refuses"):
        player = EnginePlayer([sys.executable, str(tmp_path / "engine.py"), knows])
        if knows == "knows":
            assert session.name_of(player.judge(session).action) == "C3"
            some = Limits(allowed=frozenset((0, 1)))
            with pytest.raises(UserError, match="cannot be told which moves to avoid"):
                player.judge(session, some)
        else:
            with pytest.raises(UserError, match="does not play by chinese-superko rules"):
                player.judge(session)
        player.close()
