"""KataGo's analysis protocol: answers by its rules, faults that name the field."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from envs.games.go.game import GO
from play.analysis.engine import AnalysisEngine
from play.analysis.query import position_at, read_query
from search.uct import UctOptions, UctPlayer

QUERY: dict[str, Any] = {
    "id": "q", "boardXSize": 5, "boardYSize": 5, "komi": 24.5, "rules": "tromp-taylor",
    "moves": [["B", "C3"], ["W", "A1"]],
}  # fmt: skip


def ask(*queries: dict[str, Any] | str) -> list[dict[str, Any]]:
    lines = [q if isinstance(q, str) else json.dumps(q) for q in queries]
    sink = io.StringIO()
    player = UctPlayer(UctOptions(playouts=300, threads=1))
    AnalysisEngine(player, io.BytesIO("\n".join(lines).encode()), sink).run()
    player.close()
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_an_answer_has_what_katrain_reads() -> None:
    (answer,) = ask({**QUERY, "includeOwnership": True, "includePolicy": True, "maxVisits": 200})
    assert (answer["id"], answer["turnNumber"], answer["isDuringSearch"]) == ("q", 2, False)
    root = answer["rootInfo"]
    assert (root["currentPlayer"], root["visits"]) == ("B", 200)
    assert sum(info["visits"] for info in answer["moveInfos"]) == 200
    assert [info["order"] for info in answer["moveInfos"]] == list(range(len(answer["moveInfos"])))
    best = answer["moveInfos"][0]
    assert best["pv"][0] == best["move"]
    assert len(answer["ownership"]) == 25
    assert len(answer["policy"]) == 26
    assert answer["policy"][12] == -1.0


def test_turns_come_one_by_one_and_by_priority() -> None:
    answers = ask({**QUERY, "analyzeTurns": [0, 1]}, {**QUERY, "id": "soon", "priority": 5})
    assert [(a["id"], a["turnNumber"]) for a in answers if a["id"] == "q"] == [("q", 0), ("q", 1)]
    assert len(answers) == 3


def test_win_rates_are_blacks_unless_asked() -> None:
    # Black owns the board: its rate is high whoever is to move.
    moves = [["B", f"{c}3"] for c in "ABCDE"]
    query = {**QUERY, "moves": moves, "komi": 0.5}
    (answer,) = ask(query)
    assert answer["rootInfo"]["currentPlayer"] == "W"
    assert answer["rootInfo"]["winrate"] > 0.7
    assert answer["rootInfo"]["scoreLead"] > 5
    (turned,) = ask({**query, "overrideSettings": {"reportAnalysisWinratesAs": "SIDETOMOVE"}})
    assert turned["rootInfo"]["winrate"] == pytest.approx(1 - answer["rootInfo"]["winrate"])
    assert turned["rootInfo"]["scoreLead"] < -5


def test_handicap_stones_and_the_end_of_a_game() -> None:
    stones = [["B", "B2"], ["B", "D4"]]
    (answer,) = ask({**QUERY, "moves": [], "initialStones": stones})
    assert answer["rootInfo"]["currentPlayer"] == "W"
    (ended,) = ask({**QUERY, "moves": [["B", "pass"], ["W", "pass"]]})
    assert ended["rootInfo"]["currentPlayer"] == "B"


def test_who_moves_first_is_who_moved_first() -> None:
    # KataGo, cpp/command/analysis.cpp: the first move's player; without moves White where Black
    # alone has several stones.
    def first(**change: Any) -> str:
        (answer,) = ask({**QUERY, "moves": [], "analyzeTurns": [0], **change})
        player: str = answer["rootInfo"]["currentPlayer"]
        return player

    two = [["B", "B2"], ["B", "D4"]]
    assert first(moves=[["W", "C3"]]) == "W"
    assert first(moves=[["B", "C3"]], initialStones=two) == "B"
    assert first(initialStones=two[:1]) == "B"
    assert first(initialStones=two, initialPlayer="black") == "B"


def test_positions_of_long_games_fit_their_options() -> None:
    moves = [["BW"[number % 2], "pass"] for number in range(200)]
    session = position_at(read_query({**QUERY, "moves": moves}), 200).session
    assert session.state.size == GO.words(session.options)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": 5}, "id"),
        ({"id": float("nan")}, "id"),
        ({"moves": [["B", "C3"], ["W", "C3"]]}, "moves"),
        ({"moves": [["B", "Z9"]]}, "moves"),
        ({"moves": [["X", "A1"]]}, "moves"),
        ({"moves": "B C3"}, "moves"),
        ({"moves": 5}, "moves"),
        ({"moves": None}, "moves"),
        ({"moves": [["B"]]}, "moves"),
        ({"boardXSize": 9}, "boardXSize"),
        ({"boardXSize": 50, "boardYSize": 50}, "boardXSize"),
        ({"komi": "six"}, "komi"),
        ({"komi": float("inf")}, "komi"),
        ({"komi": 10**400}, "komi"),
        ({"analyzeTurns": [3]}, "analyzeTurns"),
        ({"analyzeTurns": []}, "analyzeTurns"),
        ({"initialStones": [["B", "pass"]]}, "initialStones"),
        ({"initialPlayer": "X"}, "initialPlayer"),
        ({"priority": "high"}, "priority"),
        ({"action": "dance"}, "action"),
    ],
)
def test_faults_name_the_field(change: dict[str, Any], field: str) -> None:
    (answer,) = ask({**QUERY, **change})
    assert answer["field"] == field
    assert "\n" not in answer["error"]


@pytest.mark.parametrize("line", ["nonsense", "[1]", "{", "[" * 100_000, '"x"', "{}"])
def test_lines_that_are_no_query(line: str) -> None:
    answers = ask(line, QUERY)
    assert "error" in answers[0]
    assert answers[-1]["id"] == "q"


def test_bytes_that_are_no_text_are_answered() -> None:
    rng = np.random.default_rng(4)
    noise = [rng.bytes(40).replace(b"\n", b"") for _ in range(100)]
    sent = [*noise, b'{"id":"\xff\xfe","action":"query_version"}', b'{"id":"' + b"x" * (1 << 20)]
    sink = io.StringIO()
    player = UctPlayer(UctOptions(playouts=10, threads=1))
    AnalysisEngine(player, io.BytesIO(b"\n".join(sent)), sink).run()
    player.close()
    answers = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert len(answers) == 102
    assert answers[-2]["id"] == "\ufffd\ufffd"
    assert answers[-1]["error"] == "the line is longer than 1048576 bytes"


def test_moves_can_be_avoided_or_allowed_alone() -> None:
    # KaTrain's region of interest: everything else is to be avoided by both colours.
    outside = [
        f"{c}{r}" for c in "ABCDE" for r in range(1, 6) if (c, r) not in (("D", 3), ("D", 4))
    ]
    outside = [point for point in outside if point not in ("D3", "D4")]
    region = [{"moves": outside, "player": player, "untilDepth": 1} for player in "BW"]
    (answer,) = ask({**QUERY, "avoidMoves": region})
    assert {info["move"] for info in answer["moveInfos"]} == {"D3", "D4", "pass"}
    alone = [{"moves": ["B4", "E5"], "player": "B", "untilDepth": 1}]
    (answer,) = ask({**QUERY, "allowMoves": alone})
    assert {info["move"] for info in answer["moveInfos"]} == {"B4", "E5"}
    (answer,) = ask({**QUERY, "allowMoves": [{**alone[0], "player": "W"}]})
    assert len(answer["moveInfos"]) == 24
    (answer,) = ask({**QUERY, "allowMoves": [{**alone[0], "moves": ["C3"]}]})
    assert answer["error"] == "every legal move is to be avoided"


def test_moves_differ_in_score_and_show_their_lines() -> None:
    (answer,) = ask({**QUERY, "includePVVisits": True, "analysisPVLen": 2, "maxVisits": 2000})
    infos = answer["moveInfos"]
    assert infos[0]["scoreLead"] == answer["rootInfo"]["scoreLead"]
    by_rate = sorted(infos, key=lambda info: info["winrate"])
    assert [info["scoreLead"] for info in by_rate] == sorted(info["scoreLead"] for info in infos)
    assert by_rate[0]["scoreLead"] < by_rate[-1]["scoreLead"]
    assert len(infos[0]["pv"]) == 3
    for info in infos:
        assert info["pvVisits"][0] == info["visits"] and len(info["pvVisits"]) == len(info["pv"])
        assert info["lcb"] < info["winrate"]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("stone_scoring", "rules with a button or a tax on groups are not known here"),
        ("aga-button", "rules with a button or a tax on groups are not known here"),
        ("ing", "unknown rules 'ing'; known: tromp-taylor, "),
        (7, "rules are a name or an object"),
        ({"ko": "SIMPLE", "scoring": "AREA"}, "the rules do not say 'suicide'"),
        ({"ko": "NONE", "scoring": "AREA", "suicide": True}, "ko must be one of simple, "),
        ({"ko": "SIMPLE", "scoring": "AREA", "suicide": True}, "ko SIMPLE with suicide is not"),
    ],
)
def test_rules_that_are_not_known_are_refused(rules: Any, said: str) -> None:
    (answer,) = ask({**QUERY, "rules": rules})
    assert answer["error"].startswith(said)
    assert answer["field"] == "rules"


def test_rules_say_what_white_is_given_for_handicap_stones() -> None:
    stones = {"moves": [], "initialStones": [["B", "B2"], ["B", "D4"]], "komi": 0.5}
    leads = {}
    for rules in ("chinese", "aga", "tromp-taylor"):
        (answer,) = ask({**QUERY, **stones, "rules": rules})
        leads[rules] = answer["rootInfo"]["scoreLead"]
    assert leads["tromp-taylor"] - leads["chinese"] == pytest.approx(2)
    assert leads["tromp-taylor"] - leads["aga"] == pytest.approx(1)
    (answer,) = ask({**QUERY, **stones, "rules": "chinese", "whiteHandicapBonus": "0"})
    assert answer["rootInfo"]["scoreLead"] == pytest.approx(leads["tromp-taylor"])


def test_territory_is_area_less_the_stones_placed() -> None:
    walls = [[c, f"{p}{r}"] for r in range(1, 6) for c, p in (("B", "C"), ("W", "D"))]
    query = {**QUERY, "initialStones": walls, "komi": 0.5, "initialPlayer": "B"}
    # Black spends three moves at home, where territory loses what area keeps.
    spent = {"moves": [["B", "A1"], ["B", "A3"], ["B", "A5"]]}
    *_, area = ask({**query, **spent, "rules": "chinese", "whiteHandicapBonus": "0"})
    warning, territory = ask({**query, **spent, "rules": "japanese"})
    assert warning["warning"] == "territory is counted by way of area: a point may be off"
    lost = area["rootInfo"]["scoreLead"] - territory["rootInfo"]["scoreLead"]
    assert lost == pytest.approx(3)


def test_what_is_not_there_is_said() -> None:
    settings = {"wideRootNoise": 0.04, "ignorePreRootHistory": False, "cpuct": 1}
    answers = ask({**QUERY, "overrideSettings": settings, "includeFun": True, "maxVisits": 5})
    assert [a["warning"] for a in answers[:-1]] == [
        "the setting wideRootNoise makes no difference here",
        "the setting cpuct makes no difference here",
        "there is no includeFun",
    ]
