"""What KataGo, KGS and GoGui have beyond the standard: rules, clocks, positions, parameters."""

from __future__ import annotations

import io
import json

import pytest

from envs.games.options import GoOptions
from envs.games.state import TO_MOVE
from play.gtp.analysis import STREAMING
from play.gtp.board import GtpBoard
from play.gtp.extras import COMMANDS
from play.gtp.protocol import parse_line
from play.gtp.server import GtpServer
from search.uct import UctOptions, UctPlayer
from tests.play.gtp_client import FirstLegal, said, talk


def test_rules_change_and_the_game_goes_on() -> None:
    game = "boardsize 9\nkomi 5.5\nfixed_handicap 2\nplay w e5\nplay b e6\n"
    shown = said(game + "showboard\nkata-set-rules chinese\nshowboard\nmove_history\nget_komi\n")
    assert shown[5] == shown[7]
    assert shown[8] == "= black E6\nwhite E5" and shown[9] == "= 5.5"
    undone = said(game + "kata-set-rules aga\nundo\nundo\nlist_stones b\nundo\n")
    assert undone[-3:] == ["=", "= G7 C3", "? cannot undo"]


def test_whose_turn_it_is_outlasts_a_change_of_rules() -> None:
    board = GtpBoard(GoOptions(size=5))
    board.play(0, "a1")
    board.session.state[TO_MOVE] = 0
    board.set_rules("aga")
    assert board.session.to_move == 0


def test_superko_holds_for_what_was_played_before_the_rules_changed() -> None:
    # A ko that White may take back after two passes by simple ko alone.
    ko = [
        f"{c} {v}"
        for c, v in zip("bwbwbwb", ["B1", "C1", "A2", "D2", "B3", "C3", "pass"], strict=True)
    ]
    moves = "".join(f"play {move}\n" for move in [*ko, "w B2", "b C2", "w pass", "b pass"])
    assert "?" not in talk("kata-set-rules chinese\n" + moves + "is_legal w B2\n")
    assert said("kata-set-rules chinese\n" + moves + "is_legal w B2\n")[-1] == "= 1"
    asked = "kata-set-rules chinese\n" + moves + "kgs-rules chinese\nis_legal w B2\n"
    assert said(asked)[-1] == "= 0"
    broken = "kata-set-rules chinese\n" + moves + "play w B2\nkgs-rules chinese\nkata-get-rules\n"
    assert said(broken)[-2] == "? move 12 of this game is illegal under chinese-superko"
    assert '"ko":"SIMPLE"' in said(broken)[-1]


def test_rules_by_name_by_object_and_by_field() -> None:
    for name in ("tromp-taylor", "chinese", "chinese-ogs", "aga", "bga", "new_zealand", "cgos"):
        first = said(f"kata-set-rules {name}\nkata-get-rules\n")
        again = said(f"kata-set-rules {first[1][2:]}\nkata-get-rules\n")
        assert again == first and first[0] == "="
    assert '"POSITIONAL"' in said("kgs-rules chinese\nkata-get-rules\n")[1]
    assert '"suicide":true' in said("kgs-rules new_zealand\nkata-get-rules\n")[1]
    one = said("kata-set-rules chinese\nkata-set-rule ko POSITIONAL\nkata-get-rules\n")
    assert '"POSITIONAL"' in one[2]
    for refused in (
        "kgs-rules japanese",
        "kata-set-rules korean",
        "kata-set-rule scoring TERRITORY",
    ):
        (answered,) = said(f"kata-set-rules chinese\n{refused}\n")[1:]
        assert answered.startswith("? territory scoring is not played here")
    assert said("kata-set-rule fun 1\n")[0].startswith("? there is no rule 'fun'; known: ko, ")
    assert said("kata-set-rules {\n") == ["? the rules are no JSON"]


def test_stones_are_dead_only_where_the_rules_let_them_be() -> None:
    wall = "".join(f"play b b{row}\nplay w c{row}\n" for row in range(1, 6)) + "play w a3\n"
    asked = "final_score\nfinal_status_list dead\nfinal_status a3\n"
    agreed = said("kata-set-rules chinese\nkomi 0.5\n" + wall + asked)[-3:]
    assert agreed == ["= W+5.5", "= A3", "= dead"]
    alive = said("kata-set-rules tromp-taylor\nkomi 0.5\n" + wall + asked)[-3:]
    assert alive == ["= W+11.5", "=", "= alive"]


def test_clocks_of_kgs_and_katago() -> None:
    server = GtpServer(FirstLegal(), GoOptions(9), COMMANDS, STREAMING, io.BytesIO(), io.StringIO())

    def seconds(*lines: str) -> float:
        for line in lines:
            command = parse_line(line)
            assert command and server.respond(command).startswith("=")
        return server.clock.seconds(0, 81) or 0.0

    # Five periods of thirty seconds: every move has one of them, whatever the number left.
    assert 25 < seconds("kgs-time_settings byoyomi 0 30 5") < 30
    assert 25 < seconds("time_left b 30 5") < 30
    assert 25 < seconds("time_left b 30 1") < 30
    assert 30 < seconds("kgs-time_settings byoyomi 600 30 5", "time_left b 600 0") < 50
    canadian = seconds("kgs-time_settings canadian 0 300 25", "time_left b 300 25")
    assert canadian == pytest.approx(11.7)
    assert seconds("kata-time_settings fischer 0.5 10.5") == pytest.approx(0.2)
    assert 9 < seconds("time_left b 20.5 0") < 11
    assert seconds("kata-time_settings fischer-capped 60 30 -1 1.5") == pytest.approx(1.2)
    assert seconds("kata-time_settings none") == 0
    assert "byoyomi" in said("kata-list_time_settings\n")[0]
    for wrong in ("kata-time_settings fischer -1 5", "kgs-time_settings fischer 1 2",
                  "kgs-time_settings byoyomi 1 2 x", "time_left b nan 0"):  # fmt: skip
        assert said(f"{wrong}\n") == ["? syntax error"]


def test_positions_are_set() -> None:
    text = "komi 6.5\nplay b a1\nset_position b C3 w D4 b E5\nlist_stones b\nget_komi\nundo\n"
    assert said(text)[3:] == ["= E5 C3", "= 6.5", "? cannot undo"]
    assert said("play b a1\nset_position\nlist_stones b\n")[-1] == "="
    for wrong, why in (("b C3 w c3", "a vertex is named twice"), ("b C3 w", "syntax error"),
                       ("w A1 b A2 b B1", "a chain has no liberty")):  # fmt: skip
        shown = said(f"play b d4\nset_position {wrong}\nlist_stones b\n")
        assert shown[1:] == [f"? {why}", "= D4"]


def test_parameters_limit_the_search() -> None:
    player = UctPlayer(UctOptions(playouts=10_000, threads=1))
    line = "kata-set-param maxVisits 70\nkata-genmove_analyze b 1000 rootInfo true\n"
    assert "rootInfo visits 70 " in said(line, player)[1]
    asked = 'kata-list-params\nkata-get-param maxTime\nkata-set-params {"maxTime": 2.5}\n'
    assert said(asked + "kata-get-param maxTime\n") == [
        "= maxVisits maxPlayouts maxTime", "= 1e+20", "=", "= 2.5",
    ]  # fmt: skip
    none = 'kata-set-params {"maxVisits": 9, "maxTime": 0}\nkata-get-params\n'
    assert json.loads(said(none)[-1][2:]) == {"maxVisits": 9, "maxPlayouts": 9, "maxTime": 0}
    # What is printed is taken back.
    back = f"kata-set-param maxVisits 9\nkata-set-param maxVisits {1e20:g}\nkata-get-params\n"
    assert json.loads(said(back)[-1][2:]) == dict.fromkeys(
        ("maxVisits", "maxPlayouts", "maxTime"), 1e20
    )
    wrong = said('kata-set-params {"maxTime": 1, "fun": 2}\nkata-get-param maxTime\n')
    assert wrong[0].startswith("? there is no parameter 'fun' here") and wrong[1] == "= 1e+20"
    assert said("kata-set-param analysisWideRootNoise 0.1\n")[0].startswith("? there is no")


def test_free_handicap_has_places_on_every_board() -> None:
    player = UctPlayer(UctOptions(playouts=50, threads=1))
    placed, listed, white = said("place_free_handicap 3\nlist_stones b\ngenmove w\n", player)
    assert len(set(placed.split()[1:])) == 3
    assert sorted(placed.split()[1:]) == sorted(listed.split()[1:])
    assert white.startswith("= ")
    lost = UctPlayer(UctOptions(playouts=150, threads=1, resign=0.4))
    assert len(said("boardsize 2\nplace_free_handicap 2\n", lost, komi=50)[1].split()) == 3
    assert said("kata-raw-nn all\n", player)[0] == "? UCT 50 has no network"
