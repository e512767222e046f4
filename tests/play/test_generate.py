"""Games made by engines: what is written can be learned from, and a folder is filled up."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from commands.games import main
from core.errors import UserError
from envs.games.sgf.record import read_records

GNUGO = shutil.which("gnugo", path=f"{os.environ.get('PATH', '')}:/usr/games")
PASSES = """
import sys
for line in sys.stdin:
    answers = dict(genmove='pass', name='Passer', known_command='false')
    print('=', answers.get(line.split()[0], ''), flush=True)
    print(flush=True)
"""
PASSER = f"{sys.executable} -c {shlex.quote(PASSES)} {{level}}"


def make(folder: Path, *arguments: str, engine: str = PASSER) -> None:
    main(["go", "--out", str(folder), "--size", "5", "--engine", engine, *arguments])


def test_a_folder_is_filled_with_games(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "games", "--games", "2", "--levels", "3")
    files = sorted((tmp_path / "games").iterdir())
    assert [file.name for file in files] == ["game-000001.sgf", "game-000002.sgf"]
    texts = [file.read_bytes() for file in files]
    assert texts[0] != texts[1]
    (record,) = read_records(files[0])
    assert record.size == 5
    assert record.black == "Passer level 3"
    # A random opening of up to eight moves, then two passes.
    assert [cell for _, cell in record.moves][-2:] == [None, None]
    assert all(cell is not None for _, cell in record.moves[:-2])
    make(tmp_path / "games", "--games", "3", "--levels", "3")
    assert len(list((tmp_path / "games").iterdir())) == 3
    assert [file.read_bytes() for file in files] == texts
    assert "has 3 games, 2 were there before" in capsys.readouterr().out


def test_a_game_that_engines_differ_about_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuses = PASSES.replace("    print('='", "    print('?' if line[:4] == 'play' else '='")
    engine = f"{sys.executable} -c {shlex.quote(refuses)} {{level}}"
    make(tmp_path, "--games", "1", "--levels", "1", "--opening-moves", "0", engine=engine)
    assert not list(tmp_path.iterdir())
    out = capsys.readouterr().out
    assert "left out: disagreement on the rules" in out
    assert "has 0 games, 1 failed and were left out" in out


@pytest.mark.skipif(GNUGO is None, reason="GNU Go is not installed")
def test_gnu_go_plays_its_levels(tmp_path: Path) -> None:
    engine = f"{GNUGO} --mode gtp --chinese-rules --level {{level}}"
    make(tmp_path, "--games", "2", "--levels", "0,1", "--opening-moves", "2", engine=engine)
    for file in tmp_path.iterdir():
        (record,) = read_records(file)
        assert record.black.startswith("GNU Go level ")
        assert record.result[:2] in ("B+", "W+", "0")


@pytest.mark.parametrize(
    ("arguments", "engine", "message"),
    [
        (["--levels", "a,b"], PASSER, "whole numbers"),
        ([], "gnugo --mode gtp", "where the level goes"),
        ([], "no-such-program {level}", "apt install gnugo"),
        (["--handicap", "2"], PASSER, "without handicap"),
        ([], "gnugo '{level}", "No closing quotation"),
        (["--games", "4"], "false {level}", "ended at|is gone"),
    ],
)
def test_what_cannot_work_is_one_line(
    tmp_path: Path, arguments: list[str], engine: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make(tmp_path, *arguments, engine=engine)
    assert list(tmp_path.iterdir()) == []
