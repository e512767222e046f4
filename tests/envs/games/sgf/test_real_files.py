"""Files as programs in the world write them, one for each oddity, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sgfmill import boards, sgf

from envs.games.sgf.record import BLACK, WHITE, GameRecord, read_records

FILES = Path(__file__).parent / "files"
# File, what is read of it, and how the warnings begin.
WANTED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "setup-in-several-nodes": (
        {"black_stones": (0, 30), "white_stones": (20,), "to_move": WHITE,
         "moves": ((WHITE, 40), (BLACK, 50))}, [],
    ),
    "setup-in-mid-game": (
        {"moves": ((BLACK, 0), (WHITE, 10)), "black_stones": ()},
        ["stones are set up after move 2; read up to there"],
    ),
    "no-last-bracket": (
        {"moves": ((BLACK, 0), (WHITE, 10), (BLACK, 20))},
        ["line 2, column 1: the file ends inside a game"],
    ),
    "dashes-between-nodes": (
        {"moves": ((BLACK, 0), (WHITE, 10))},
        ["line 2, column 1: '---' between nodes", "line 4, column 1: '---' between nodes"],
    ),
    "handicap-in-words": ({"handicap": 0, "komi": 6.5}, ["HA: 'two stones' is no number"]),
    "komi-none": ({"komi": 0.0, "moves": ((BLACK, 0),)}, ["KM: 'none' is no number"]),
    "time-no": ({"time_limit_seconds": None, "komi": 6.5}, ["TM: 'no' is no number"]),
    "fox": ({"komi": 7.5, "time_limit_seconds": 3600.0}, ["KM: '375' is taken for 7.5"]),
    "fox-japanese": ({"komi": 6.5, "time_limit_seconds": 1200.0}, ["KM: '650' is taken for 6.5"]),
    "gbk-named-gb2312": ({"black": "朱镕", "white": "李昌镐"}, []),
    "charset-in-a-comment": (
        {"black": "Åsa", "comments": {0: "written as CA[shift_jis]"}}, [],
    ),
    "many-digits": (
        {"komi": 6.5, "handicap": 2, "time_limit_seconds": None},
        ["TM: '10000000000000000000' is no number"],
    ),
}  # fmt: skip
UNREADABLE_FOR_SGFMILL = {"no-last-bracket", "dashes-between-nodes", "gbk-named-gb2312"}


def read(name: str) -> GameRecord:
    (record,) = read_records(FILES / f"{name}.sgf")
    return record


def test_every_file_is_looked_at() -> None:
    assert {file.stem for file in FILES.glob("*.sgf")} == set(WANTED)


@pytest.mark.parametrize("name", WANTED)
def test_what_can_be_read_is_read_and_the_rest_listed(name: str) -> None:
    record, (facts, warnings) = read(name), WANTED[name]
    assert {key: getattr(record, key) for key in facts} == facts
    assert len(record.warnings) == len(warnings)
    for said, begins in zip(record.warnings, warnings, strict=True):
        assert said.startswith(begins)


@pytest.mark.parametrize("name", sorted(set(WANTED) - UNREADABLE_FOR_SGFMILL))
def test_sgfmill_sees_the_same_stones(name: str) -> None:
    record = read(name)
    game = sgf.Sgf_game.from_bytes((FILES / f"{name}.sgf").read_bytes())
    board = boards.Board(game.get_size())
    moves: list[tuple[int, int | None]] = []
    for node in game.get_main_sequence():
        if node.has_setup_stones():
            if moves:
                break
            board.apply_setup(*node.get_setup_stones())
        colour, point = node.get_move()
        if colour is not None:
            # Its rows count from the bottom.
            cell = None if point is None else (record.size - 1 - point[0]) * record.size + point[1]
            moves.append((BLACK if colour == "b" else WHITE, cell))
    stones: dict[str, set[int]] = {"b": set(), "w": set()}
    for colour, (row, column) in board.list_occupied_points():
        stones[colour].add((record.size - 1 - row) * record.size + column)
    assert (stones["b"], stones["w"]) == (set(record.black_stones), set(record.white_stones))
    assert tuple(moves) == record.moves
