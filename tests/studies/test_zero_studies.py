"""Studies of Zero: komi on a solved board, right moves in Connect Four, its switches, ratings."""

from __future__ import annotations

import importlib.machinery
import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from agents.zero.build import build
from commands.study import main
from core.errors import UserError
from core.learner import Arithmetic
from envs.games.options import GoOptions
from envs.games.registry import load_game
from envs.games.session import Session
from play.players import make_player
from search.tree_player import TreePlayer
from studies import connect_four, zero_switches
from studies.grid import Cell
from studies.round_robin import identity
from studies.side_by_side import SearchingSide

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


def test_trainings_of_the_switches_have_the_same_number_of_simulations(tmp_path: Path) -> None:
    cell: Cell = {"seed": 1, "size": 3, "budget": 2_000, "blocks": 1, "others": zero_switches.ALL}
    for kind in ("all", "no quick searches", "no progressive simulations"):
        config = zero_switches.config_of({**cell, "changes": zero_switches.WITHOUT[kind]})
        built = build(config, tmp_path / kind, print, Arithmetic())
        steps = range(0, config.run.total_steps)
        full = [built.agent.agent.simulations(step) for step in steps]  # type: ignore[attr-defined]
        built.agent.close()
        share, quick = config.full_share, config.quick_simulations
        spent = sum(share * simulations + (1 - share) * quick for simulations in full)
        assert spent == pytest.approx(cell["budget"], rel=0.02)


def test_switches_are_rated_beside_the_training_that_has_them_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["zero-switches", "--only", "puct root, no random komi", "--size", "3", "--budget"]
    argv += ["1000", "--seeds", "1", "--games", "2", "--simulations", "2", "--processes", "1"]
    argv += ["--out", str(tmp_path)]
    assert main(argv) == 0
    results = json.loads((tmp_path / "results.json").read_bytes())
    rows = {row["kind"]: row for row in results["rows"]}
    assert set(rows) == {"all", "puct root", "no random komi"}
    assert rows["all"]["elo"] == [0] and results["games"] == 4
    journal = map(json.loads, (tmp_path / "journal.jsonl").read_text("utf-8").splitlines())
    points = dict.fromkeys(rows, 0.0)
    for entry in journal:
        if "first" in entry["cell"] and "found" in entry:
            points[entry["cell"]["first"]["kind"]] += entry["found"]["points"]
            points[entry["cell"]["second"]["kind"]] += 2 - entry["found"]["points"]
    # Where all play all, ratings are in the order of the points.
    order = [points[row["kind"]] for row in results["rows"]]
    assert sum(order) == 6 and order == sorted(order, reverse=True)
    assert all(row["moves"] >= 1000 / 9.5 for row in rows.values())
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert main(argv) == 0  # all of it is kept
    assert "3 of 3 cells are in" in capsys.readouterr().out
    (journal := tmp_path / "journal.jsonl").write_text(
        "".join(
            line for line in journal.read_text("utf-8").splitlines(True) if "points" not in line
        )
    )
    for file in (tmp_path / "networks").iterdir():
        file.write_bytes(b"damaged")
    with pytest.raises(UserError, match="trained anew"):
        main(argv)
    with pytest.raises(UserError, match="--only gumbel: it takes some of puct root; "):
        main(["zero-switches", "--only", "no random komi, gumbel"])
    kinds = zero_switches.Options(only="no symmetries, puct root, no forced playouts").kinds()
    assert kinds == ["all", "puct root, no forced playouts", "no symmetries"]


def test_players_of_a_round_robin_are_rated_by_all_their_games(tmp_path: Path) -> None:
    argv = ["round-robin", "--game", "tic-tac-toe", "--games", "8", "--processes", "1"]
    argv += ["--players", "random strong=uct:300 uct:2", "--out", str(tmp_path)]
    assert main(argv) == 0
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert [row["player"] for row in results["players"]] == ["strong", "uct:2", "random"]
    assert sum(row["points"] for row in results["players"]) == 24
    assert [pair["second"] for pair in results["pairs"]] == ["strong", "uct:2", "uct:2"]
    assert "| random | strong | 0 | " in (tmp_path / "page.md").read_text("utf-8")


def test_wrong_players_of_a_round_robin_are_named_before_any_game(tmp_path: Path) -> None:
    for players, said in (
        ("random", "two players at least"),
        ("random a=uct:5 a=uct:6", "--players names a twice"),
        ("random 'uct:5", "cannot be read: No closing quotation"),
        ("random uctt:5", "there is no player 'uctt:5'"),
        ("random shipped:5s", "not seconds"),
        ("random uct:5s", "not seconds"),
        ("random shipped:5,resign=0.1", "without resign="),
        ("random uct:5,prior=1,exploration=0.2", "which prior= replaces"),
    ):
        with pytest.raises(UserError, match=said):
            main(["round-robin", "--players", players, "--out", str(tmp_path / "study")])
    with pytest.raises(UserError, match="plays go-9"):
        main(["round-robin", "--game", "othello", "--players", "random shipped:5"])
    with pytest.raises(UserError, match="Othello has no patterns"):
        main(["round-robin", "--game", "othello", "--players", "random uct:5,prior=1"])
    assert not (tmp_path / "study").exists()


def test_a_player_is_known_by_its_weights_wherever_they_lie(tmp_path: Path) -> None:
    shutil.copytree("pretrained/zero-go5", tmp_path / "copy")
    board = GoOptions(size=5)
    own = identity("pretrained/zero-go5:8", "go", board)
    assert identity(f"{tmp_path}/copy:8", "go", board) == own
    assert identity(f"{tmp_path}/copy:9", "go", board) != own
    assert identity("pretrained/zero-go7:8", "go", GoOptions(size=7)) != own
    levels = [identity(level, "go", GoOptions()) for level in ("easy", "medium", "strong")]
    assert len(set(levels)) == 3
    assert identity("uct:9", "go", board) != identity("uct:9,prior=1", "go", board)


def test_temperature_draws_among_the_moves_that_were_looked_at() -> None:
    session = Session(load_game("go"), GoOptions(size=5))
    for temperature, count in ((0, 1), (4, 2)):
        player = make_player(f"pretrained/zero-go5:16,temperature={temperature}", threads=1)
        assert isinstance(player, TreePlayer)
        side = SearchingSide(player, session.game, session.options, 40, 1)
        chosen = set(side.choose(range(40), [session] * 40))
        side.close()
        assert len(chosen) >= count and (count > 1 or len(chosen) == 1)
