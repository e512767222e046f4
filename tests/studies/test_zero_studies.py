"""Studies of Zero's networks: komi on a solved board, and right moves in Connect Four."""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from commands.study import main
from core.errors import UserError
from studies import connect_four
from studies.grid import Cell

DRAWN: Cell = {"positions": 40, "seed": 1, "least_plies": 20, "most_plies": 30}


def test_the_network_in_the_box_knows_what_5x5_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["komi-sweep", "--reach", "0.5", "--games", "2", "--simulations", "8"]
    argv += ["--processes", "1", "--out", str(tmp_path)]
    monkeypatch.chdir(tmp_path)  # the network is found from anywhere
    assert main(argv) == 0
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert [row["komi"] for row in results["rows"]] == [24.5, 25.0, 25.5]
    assert [row["black_score"] for row in results["rows"]] == [1.0, 0.5, 0.0]
    assert results["black_under"] == results["white_over"] == 1.0
    values = [row["value"] for row in results["rows"]]
    assert values[0] > 0.3 > values[1] > values[2]
    assert "| 24.5 | 100% |" in (tmp_path / "page.md").read_text("utf-8")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_board_that_nobody_solved_needs_a_value(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --known"):
        main(["komi-sweep", "pretrained/zero-go9", "--out", str(tmp_path)])
    with pytest.raises(UserError, match="this study needs go"):
        connect = tmp_path / "connect-four"
        connect.mkdir()
        (connect / "meta.json").write_text('{"agent": "zero"}')
        (connect / "config.toml").write_text('game = "connect-four"\n')
        main(["komi-sweep", str(connect), "--out", str(tmp_path)])


def pretend_that_even_columns_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver's place is taken by one whose answers are plain."""

    class Board:
        def __init__(self) -> None:
            self.heights = [0] * 7

        def play(self, move: int) -> None:
            self.heights[move] += 1

    class BitBully:
        def score_all_moves(self, board: Board) -> dict[int, int]:
            return {m: 9 if m % 2 == 0 else -3 for m in range(7) if board.heights[m] < 6}

    module: Any = types.ModuleType("bitbully")
    module.__spec__ = importlib.machinery.ModuleSpec("bitbully", None)
    module.Board, module.BitBully = Board, BitBully
    monkeypatch.setitem(sys.modules, "bitbully", module)


def test_right_moves_are_counted_where_moves_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_that_even_columns_win(monkeypatch)
    monkeypatch.setattr(connect_four, "PART", 25)
    argv = ["connect-four", "--positions", "40", "--least-plies", "20", "--uct-playouts", "20"]
    assert main([*argv, "--processes", "1", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_bytes())
    legal = [s.legal_mask().astype(bool) for s, _ in connect_four.positions(DRAWN)]
    differ = [g for g, mask in enumerate(legal) if mask[::2].any() and mask[1::2].any()]
    chosen = connect_four.chosen_by_uct({"uct": 20, **DRAWN})
    assert results["positions"] == len(differ) > 30
    assert results["uct:20"] == sum(chosen[g] % 2 == 0 for g in differ) / len(differ)
    chance = [legal[g][::2].sum() / legal[g].sum() for g in differ]
    assert results["random"] == pytest.approx(sum(chance) / len(chance))


def test_what_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install bitbully bitbully-databases"):
        main(["connect-four", "--out", str(tmp_path)])
    with pytest.raises(UserError, match="--simulations are numbers"):
        main(["connect-four", "--simulations", "few"])
