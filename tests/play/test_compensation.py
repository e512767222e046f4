"""White's compensation for handicap stones stays with a position however it came about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.games.go.board import COMPENSATION
from envs.games.options import GoOptions
from play.gtp.board import GtpBoard
from tests.play.gtp_client import talk

# Whoever owns the whole empty 9x9 board but for Black's two stones: 81 less komi and compensation.
TWO_STONES = "boardsize 9\nkomi 0.5\nfixed_handicap 2\n"


@pytest.mark.parametrize(
    ("rules", "score"),
    [("tromp-taylor", 80.5), ("chinese", 78.5), ("aga", 79.5), ("new-zealand", 80.5)],
)
def test_a_change_of_rules_changes_what_white_is_given(rules: str, score: float) -> None:
    text = talk(f"{TWO_STONES}kata-set-rules {rules}\nfinal_score\n")
    assert text.endswith(f"= B+{score}\n\n")
    board = GtpBoard(GoOptions(9, 0.5, rules))  # type: ignore[arg-type]
    stones = np.zeros((9, 9), np.int8)
    stones[2, 2] = stones[6, 6] = 1
    board.set_position(stones, to_move=1)
    assert 81 - board.session.state[COMPENSATION] / 2 == score
    assert board.session.margin() == score


def test_a_loaded_game_pays_for_its_stones_before_and_after_undo(tmp_path: Path) -> None:
    file = tmp_path / "game.sgf"
    file.write_text("(;GM[1]SZ[9]HA[2]KM[0.5]AB[cc][gg];W[ee];B[ec])")
    sent = f"loadsgf {file}\nundo\nundo\nfinal_score\nget_handicap\n"
    assert talk(sent, size=9).split("\n\n")[3:5] == ["= B+78.5", "= 2"]


def test_komi_and_free_handicap_on_a_board_without_fixed_points() -> None:
    sent = (
        "boardsize 5\nset_free_handicap a1 c3 e5\nkomi 1.5\nfinal_score\nfinal_status_list alive\n"
    )
    answers = talk(sent).split("\n\n")
    assert answers[3] == "= B+20.5"
    assert answers[4].startswith("= ")


def test_one_stone_or_stones_of_both_are_no_handicap() -> None:
    for stones, handicap in (({0: 1}, 0), ({0: 1, 5: 1}, 2), ({0: 1, 5: 1, 9: 2}, 0)):
        board = GtpBoard(GoOptions(5))
        cells = np.zeros((5, 5), np.int8)
        for cell, colour in stones.items():
            cells.flat[cell] = colour
        board.set_position(cells, 0)
        assert board.options.handicap == handicap


def test_handicap_on_the_command_line_is_on_the_board() -> None:
    assert talk("list_stones black\n", size=9, handicap=2).count("G7") == 1
