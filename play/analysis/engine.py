"""KataGo's analysis protocol: JSON lines in, JSON lines out, so that KaTrain can use our agents.

As KataGo's docs/Analysis_Engine.md describes it. One turn of one query is searched at a time, the
highest priority first; a thread reads queries meanwhile, so that `terminate` stops a search.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TextIO

from core.errors import UserError
from play.analysis.answer import answer_of, without_results
from play.analysis.query import AnalysisQuery, QueryError, position_at, read_query
from play.candidates import estimate_once
from play.lines import Line, read_lines
from search.player import Judgement, Player

_LONGEST_LINE = 1 << 20
_FIRST, _LAST = -(2**62), 2**62
_VERSION = "0.1"


@dataclass(order=True)
class Task:
    """One turn of one query, in the order of its work."""

    order: tuple[int, int]
    query: AnalysisQuery | None = field(compare=False)
    """None: there is no more to do."""
    turn: int = field(default=0, compare=False)
    stopped: bool = field(default=False, compare=False)


class AnalysisEngine:
    """One client, one player."""

    def __init__(
        self,
        player: Player,
        source: BinaryIO,
        sink: TextIO,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Every turn is searched with the same `seed`; `clock` times the reports."""
        self.player, self.seed = player, seed
        self._source, self._sink, self._clock = source, sink, clock
        self._tasks: queue.PriorityQueue[Task] = queue.PriorityQueue()
        self._open: list[Task] = []
        """Turns without a final answer."""
        self._running: Task | None = None
        self._lock = threading.RLock()
        """Of what is open and running, and of the output."""
        self._count = 0
        self._failure: BaseException | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def run(self) -> None:
        """Answer until the input has ended and nothing waits; raise what ended its reading."""
        self._reader.start()
        while (task := self._tasks.get()).query is not None:
            with self._lock:
                if task.stopped:
                    continue
                self._running = task
            self._answer(task, task.query)
            with self._lock:
                self._running = None
                self._open.remove(task)
        if self._failure is not None:
            raise self._failure

    def write(self, answer: dict[str, Any]) -> None:
        """Send one line."""
        text = json.dumps(answer, allow_nan=False)
        with self._lock:
            self._sink.write(text + "\n")
            self._sink.flush()

    # ---------------------------------------------------------------- reading

    def _read(self) -> None:
        last = _LAST
        try:
            for line in read_lines(self._source, _LONGEST_LINE):
                if line.text.strip():
                    self._accept(line)
        except BaseException as failure:
            self._failure, last = failure, _FIRST
        finally:
            self._tasks.put(Task((last, 0), None))

    def _accept(self, line: Line) -> None:
        """Check a query and put its turns in line, or answer what is wrong with it."""
        query: Any = None
        try:
            if not line.whole:
                raise QueryError(f"the line is longer than {_LONGEST_LINE} bytes", "id")
            query = json.loads(line.text)
            if not isinstance(query, dict):
                raise QueryError("a query is a JSON object", "id")
            if not isinstance(query.get("id"), str):
                raise QueryError("a query needs an id, a string", "id")
            if "action" in query:
                self._act(query)
            else:
                self._put_in_line(read_query(query))
        except QueryError as error:
            name = query.get("id") if isinstance(query, dict) else None
            identity = {"id": name} if isinstance(name, str) else {}
            self.write({"error": str(error), "field": error.field, **identity})
        except (ValueError, RecursionError):
            self.write({"error": "the line is no JSON"})

    def _put_in_line(self, query: AnalysisQuery) -> None:
        """Check the position once; then every turn is a task."""
        position_at(query, max(query.turns))
        for message, name in query.warnings:
            self.write({"warning": message, "field": name, "id": query.id})
        with self._lock:
            for turn, priority in zip(query.turns, query.priorities, strict=True):
                self._count += 1
                task = Task((-priority, self._count), query, turn)
                self._open.append(task)
                self._tasks.put(task)

    def _act(self, query: dict[str, Any]) -> None:
        """Carry out an action instead of an analysis."""
        action = query["action"]
        if action in ("terminate", "terminate_all"):
            self._terminate(query, action == "terminate_all")
        elif action == "query_version":
            self.write({**query, "version": _VERSION, "git_hash": "<omitted>"})
        elif action == "query_models":
            self.write({**query, "models": []})
        elif action == "clear_cache":
            # Nothing is kept from one query to the next.
            self.write(query)
        else:
            raise QueryError(f"there is no action {action!r}", "action")

    def _terminate(self, query: dict[str, Any], everything: bool) -> None:
        """Stop the search that runs, and answer for turns that wait."""
        identity, turns = query.get("terminateId"), query.get("turnNumbers")
        if not everything and not isinstance(identity, str):
            raise QueryError("terminate needs a terminateId, a string", "terminateId")
        if turns is not None and not (
            isinstance(turns, list) and all(type(turn) is int for turn in turns)
        ):
            raise QueryError("turnNumbers must be a list of numbers", "turnNumbers")
        wanted: Container[int] = range(_LAST) if turns is None else turns
        self.write(query)
        with self._lock:
            for task in list(self._open):
                assert task.query is not None
                if task.turn in wanted and (everything or task.query.id == identity):
                    task.stopped = True
                    if task is not self._running:
                        self._open.remove(task)
                        self.write(without_results(task.query, task.turn))

    # ---------------------------------------------------------------- searching

    def _answer(self, task: Task, query: AnalysisQuery) -> None:
        """Search a turn; write what is found, on the way too if that was asked for."""
        shown = self._clock()
        board = position_at(query, task.turn)
        estimate = estimate_once(board.session)

        def watch(judgement: Judgement) -> bool:
            nonlocal shown
            now = self._clock()
            if task.stopped or self._failure is not None:
                return False
            if query.report_every and now - shown >= query.report_every:
                shown = now
                seen = estimate(judgement)
                self.write(answer_of(query, task.turn, board, judgement, seen, True, True))
            return True

        try:
            self.player.new_game(self.seed)
            judgement = self.player.judge(board.session, query.limits_at(board), watch)
            hurried, seen = task.stopped, estimate(judgement)
            self.write(answer_of(query, task.turn, board, judgement, seen, hurried=hurried))
        except UserError as error:
            self.write({"error": " ".join(str(error).split()), "id": query.id})
