"""KataGo's analysis protocol: answers by its rules, faults that name the field."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from play.katago import AnalysisEngine
from search.player import RandomPlayer
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


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": 5}, "id"),
        ({"moves": [["B", "C3"], ["W", "C3"]]}, "moves"),
        ({"moves": [["B", "Z9"]]}, "moves"),
        ({"moves": [["X", "A1"]]}, "moves"),
        ({"moves": "B C3"}, "moves"),
        ({"moves": [["B"]]}, "moves"),
        ({"boardXSize": 9}, "boardXSize"),
        ({"boardXSize": 50, "boardYSize": 50}, "boardXSize"),
        ({"komi": "six"}, "komi"),
        ({"komi": float("inf")}, "komi"),
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


def test_a_reader_that_dies_ends_the_engine() -> None:
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            raise RuntimeError("the reader died")

    with pytest.raises(RuntimeError, match="the reader died"):
        AnalysisEngine(RandomPlayer(), Broken(), io.StringIO()).run()


def test_termination() -> None:
    answers = ask({"id": "t", "action": "terminate", "terminateId": "q"}, QUERY)
    assert answers[0] == {"id": "t", "action": "terminate", "terminateId": "q"}
    assert answers[1]["noResults"]
