"""A game in the terminal, typed and read as a person would."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from commands.dispatch import main
from envs.games.registry import load_game
from envs.games.session import Session
from envs.games.sgf.record import read_records
from envs.games.text import board_text
from play.terminal import TerminalGame
from search.uct import UctOptions, UctPlayer


def play(name: str, typed: str, opponent: Any = None, human: int = 0, **options: Any) -> str:
    game = load_game(name)
    sink = io.StringIO()
    session = Session(game, game.options(**options))
    TerminalGame(session, opponent, human, io.StringIO(typed), sink).run()
    return sink.getvalue()


def test_two_people_finish_a_game() -> None:
    text = play("tic-tac-toe", "B2\nA1\nA2\nB1\nC2\n")
    assert text.rstrip().endswith("Crosses wins")
    assert "  2 X X(X) 2" in text.replace("   2", "  2")


def test_mistakes_are_said_and_the_game_goes_on() -> None:
    text = play("connect-four", "9\nx\n\n4\n4\n4\n4\n4\n4\n4\nundo\nquit\n")
    assert "'9' is no column; columns are numbered 1 to 7" in text
    assert "4 is not a legal move here" in text
    assert text.count("plays 4") == 6


def test_undo_goes_back_to_the_persons_turn() -> None:
    opponent = UctPlayer(UctOptions(playouts=50, threads=1))
    text = play("go", "undo\nc3\nundo\nscore\nhint\nhelp\nresign\n", opponent, size=5, komi=24.5)
    assert "you have made no move to take back" in text
    assert "White leads by 24.5 as it stands" in text
    assert "UCT 50 would play" in text
    assert "or pass" in text
    assert text.rstrip().endswith("White wins by resignation")


def test_undo_leaves_the_opponents_first_move() -> None:
    opponent = UctPlayer(UctOptions(playouts=20, threads=1))
    text = play("go", "undo\nquit\n", opponent, human=1, size=5)
    assert "you have made no move to take back" in text and text.count("thinks ...") == 1


def test_the_end_of_the_input_leaves() -> None:
    assert play("go", "", size=5).count("to move") == 1


def test_the_command_saves_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("c3\nsave mid.sgf\npass\npass\n"))
    monkeypatch.chdir(tmp_path)
    assert main(["play", "go-5", "--agent", "random", "--komi", "0.5", "--save", "g.sgf"]) == 0
    records = [read_records(tmp_path / name)[0] for name in ("mid.sgf", "g.sgf")]
    assert records[0].result == "?"
    assert (records[1].black, records[1].white, records[1].size) == ("human", "random", 5)
    assert records[1].moves[0] == (1, 12)
    assert len(records[1].moves) > 2


def test_players_agree_which_stones_are_dead() -> None:
    # White's stone at A1 stands alone in what is Black's.
    moves = "b1 pass b2 pass b3 pass b4 pass b5 pass c3 pass d3 a1 pass pass"
    typed = "\n".join(moves.split()) + "\n"
    asked = "Dead stones: A1. Return takes them off, no plays on: "
    text = play("go", typed + "\n", size=5, komi=5.5)
    assert text.endswith(f"{asked}Black wins by 19.5\n")
    text = play("go", typed + "no\na2\npass\npass\nyes\n", size=5, komi=5.5)
    assert text.count("Dead stones") == 1
    assert text.endswith("Black wins by 19.5\n")
    # These rules leave no say: the points beside A1 are nobody's.
    text = play("go", typed, size=5, komi=5.5, rules="tromp-taylor")
    assert text.endswith("Black wins by 13.5\n") and "Dead" not in text


def test_bad_names_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in [
        (["play", "gomok"], "did you mean"),
        (["play", "go", "--agent", "uctt"], "there is no player"),
        (["play", "go", "--agent", "uct:x"], "is no amount"),
        (["play", "go", "--agent", "gtp:no-such-engine"], "cannot be started"),
        (["play", "go", "--size", "25"], "must be from 1 to 19"),
        (["play", "othello", "--save", "x.sgf"], "which is for Go"),
        (["match", "go", "--games", "0"], "--games must be at least 1, got 0"),
    ]:
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.err.count("\n") == 1


def test_colours_change_nothing_else() -> None:
    import re

    game = load_game("go")
    session = Session(game, game.options(size=9))
    session.play(40)
    session.play(30)
    plain, painted = board_text(session), board_text(session, colour=True)
    stripped = re.sub(r"\033\[[0-9;]*m", "", painted)
    assert len(stripped.splitlines()) == len(plain.splitlines())
    assert [len(line) for line in stripped.splitlines()] == [len(p) for p in plain.splitlines()]
