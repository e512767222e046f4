"""Searches of the analysis engine beside its reader: stopped, reported on the way, and in turn."""

from __future__ import annotations

import io
import json
import os
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from envs.games.session import Session
from play.analysis.engine import AnalysisEngine
from search.player import Judgement, Limits, RandomPlayer, Watcher
from tests.play.test_analysis import QUERY


def test_a_reader_that_dies_ends_the_engine() -> None:
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            raise RuntimeError("the reader died")

    with pytest.raises(RuntimeError, match="the reader died"):
        AnalysisEngine(RandomPlayer(), Broken(), io.StringIO()).run()


class Endless(RandomPlayer):
    """Searches until it is stopped; says when it begins; a second passes at each look."""

    name = "endless"

    def __init__(self) -> None:
        super().__init__()
        self.began: queue.Queue[int] = queue.Queue()
        self.now = 0.0

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        judgement = super().judge(session, limits)
        if limits == Limits(playouts=1):
            return judgement
        self.began.put(len(session.actions))
        assert watch
        while watch(judgement):
            self.now += 1.0
        return judgement


class Pipe:
    """An engine at work on a search without end, and both ends of its pipes."""

    def __init__(self) -> None:
        self.player = Endless()
        inner, outer = os.pipe(), os.pipe()
        self.write = os.fdopen(inner[1], "wb", buffering=0)
        self.read = os.fdopen(outer[0], encoding="utf-8")
        self.source, self.sink = os.fdopen(inner[0], "rb"), os.fdopen(outer[1], "w")
        engine = AnalysisEngine(self.player, self.source, self.sink, 0, lambda: self.player.now)
        self.thread = threading.Thread(target=engine.run, daemon=True)
        self.thread.start()

    def send(self, **query: Any) -> None:
        self.write.write(json.dumps(query).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.read.readline())
        return answer

    def answers_until(self, identity: str) -> list[dict[str, Any]]:
        """Answers up to the last that a query gets."""
        found = [self.answer()]
        while found[-1].get("isDuringSearch", True) or found[-1]["id"] != identity:
            found.append(self.answer())
        return found

    def close(self) -> None:
        self.send(id="end", action="terminate_all")
        self.write.close()
        self.thread.join()
        for end in (self.source, self.sink, self.read):
            end.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    opened = Pipe()
    yield opened
    opened.close()


def test_a_search_is_stopped_and_its_id_can_be_used_again(pipe: Pipe) -> None:
    pipe.send(**QUERY, maxVisits=10_000_000)
    pipe.player.began.get()
    pipe.send(id="t", action="terminate", terminateId="q")
    assert pipe.answer() == {"id": "t", "action": "terminate", "terminateId": "q"}
    stopped = pipe.answer()
    assert (stopped["id"], stopped["isDuringSearch"], "moveInfos" in stopped) == ("q", False, True)
    pipe.send(**QUERY, maxVisits=1)
    assert pipe.answer()["moveInfos"]


def test_turns_that_wait_are_answered_without_results(pipe: Pipe) -> None:
    pipe.send(**QUERY, analyzeTurns=[2, 1, 0])
    assert pipe.player.began.get() == 2
    pipe.send(id="t", action="terminate", terminateId="q", turnNumbers=[1])
    assert pipe.answer()["id"] == "t"
    none = {"id": "q", "isDuringSearch": False, "noResults": True}
    assert pipe.answer() == {**none, "turnNumber": 1}
    pipe.send(id="t", action="terminate", terminateId="else")
    assert pipe.answer()["terminateId"] == "else"
    pipe.send(id="all", action="terminate_all")
    rest = [pipe.answer() for _ in range(3)]
    assert [a.get("turnNumber") for a in rest if a["id"] == "q" and "noResults" in a] == [0]
    assert [a["turnNumber"] for a in rest if "moveInfos" in a] == [2]
    pipe.send(**QUERY, maxVisits=1, analyzeTurns=[0])
    assert pipe.answer()["turnNumber"] == 0


def test_searches_report_on_the_way(pipe: Pipe) -> None:
    pipe.send(**QUERY, reportDuringSearchEvery=3)
    first, second = pipe.answer(), pipe.answer()
    assert first["isDuringSearch"] and second["isDuringSearch"]
    assert first["moveInfos"]
    pipe.send(id="t", action="terminate_all")
    assert pipe.answers_until("q")[-1]["moveInfos"]


def test_katrain_ponders_switches_and_goes_on(pipe: Pipe) -> None:
    # What KaTrain sends (katrain/core/engine.py): pondering, then another node of the game.
    common = {
        "rules": "japanese", "priority": 0, "komi": 6.5, "boardXSize": 9, "boardYSize": 9,
        "includeOwnership": True, "includeMovesOwnership": True, "includePolicy": True,
        "initialStones": [], "initialPlayer": "B",
        "overrideSettings": {
            "reportAnalysisWinratesAs": "BLACK", "wideRootNoise": 0.04, "maxTime": 8.0,
        },
    }  # fmt: skip
    ponder = {"maxVisits": 10_000_000, "reportDuringSearchEvery": 0.25}
    pipe.send(**common, **ponder, id="QUERY:1", analyzeTurns=[0], moves=[])
    assert pipe.player.began.get() == 0
    pipe.send(id="QUERY:2", action="terminate", terminateId="QUERY:1")
    moves = [["B", "E5"]]
    pipe.send(**common, **ponder, id="QUERY:3", analyzeTurns=[1], moves=moves)
    seen = pipe.answers_until("QUERY:1")
    assert [a["field"] for a in seen if "warning" in a and a["id"] == "QUERY:1"] == [
        "overrideSettings", "rules",
    ]  # fmt: skip
    assert len(seen[-1]["ownership"]) == 81 and len(seen[-1]["policy"]) == 82
    assert pipe.player.began.get() == 1
    pipe.send(id="QUERY:4", action="terminate", terminateId="QUERY:3")
    assert pipe.answers_until("QUERY:3")[-1]["rootInfo"]["currentPlayer"] == "W"
