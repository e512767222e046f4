"""KataGo's analysis protocol: JSON lines in, JSON lines out, so that KaTrain can use our agents.

As KataGo's docs/Analysis_Engine.md describes it. Queries are answered one turn after the other, the
highest priority first.
"""

from __future__ import annotations

import json
import math
import queue
import threading
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TextIO

import numpy as np

from core.errors import UserError
from core.machine.random_numbers import random_state
from envs.games.go.estimate import estimate_ownership
from envs.games.options import GoOptions
from play.gtp.board import GtpBoard
from play.gtp.extras import RULE_NAMES
from play.lines import Line, read_lines
from search.player import Judgement, Limits, Player

_LONGEST_LINE = 1 << 20
_MOST_TURNS = 1_000
_OWNERSHIP_PLAYOUTS = 200
_PLAYERS = {"b": 0, "w": 1, "black": 0, "white": 1}


class QueryError(UserError):
    """A query that cannot be answered; `field` names what is wrong."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(order=True)
class Task:
    """One turn of one query."""

    order: tuple[int, int]
    query: dict[str, Any] = field(compare=False)
    turn: int = field(compare=False)


class AnalysisEngine:
    """Reads queries on a thread, so that `terminate` reaches those that wait."""

    def __init__(self, player: Player, source: BinaryIO, sink: TextIO) -> None:
        self.player = player
        self._source, self._sink = source, sink
        self._tasks: queue.PriorityQueue[Task] = queue.PriorityQueue()
        self._terminated: set[str] = set()
        self._lock = threading.Lock()
        self._count = 0
        self._failure: BaseException | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def run(self) -> None:
        """Answer until the input has ended and nothing waits."""
        self._reader.start()
        while True:
            task = self._tasks.get()
            if task.turn < 0:
                if self._failure is not None:
                    raise self._failure
                return
            self._answer(task)

    def write(self, answer: dict[str, Any]) -> None:
        """Send one line."""
        text = json.dumps(answer, allow_nan=False)
        with self._lock:
            self._sink.write(text + "\n")
            self._sink.flush()

    def _read(self) -> None:
        # The last in order: everything that waits comes first.
        last = 2**31
        try:
            for line in read_lines(self._source, _LONGEST_LINE):
                if line.text.strip():
                    self._accept(line)
        except BaseException as failure:
            self._failure, last = failure, -(2**31)
        finally:
            self._tasks.put(Task((last, 0), {}, -1))

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
                return
            turns = wanted_turns(query)
            position_at(query, max(turns))
            for turn in turns:
                priority = query.get("priority", 0)
                if not isinstance(priority, int) or abs(priority) > 10**6:
                    raise QueryError("priority must be a whole number", "priority")
                self._count += 1
                self._tasks.put(Task((-priority, self._count), query, turn))
        except (ValueError, RecursionError):
            self.write({"error": "the line is no JSON"})
        except QueryError as error:
            identity = {"id": query["id"]} if isinstance(query, dict) and "id" in query else {}
            self.write({"error": str(error), "field": error.field, **identity})

    def _act(self, query: dict[str, Any]) -> None:
        """Carry out an action instead of an analysis."""
        action = query["action"]
        if action == "terminate":
            self._terminated.add(str(query.get("terminateId", "")))
        elif action == "query_version":
            query = {**query, "version": "tengen", "git_hash": ""}
        elif action not in ("clear_cache", "terminate_all", "query_models"):
            raise QueryError(f"there is no action {action!r}", "action")
        self.write(query)

    def _answer(self, task: Task) -> None:
        query = task.query
        if query["id"] in self._terminated:
            self.write(
                {"id": query["id"], "isDuringSearch": False, "noResults": True,
                 "turnNumber": task.turn}
            )  # fmt: skip
            return
        board = position_at(query, task.turn)
        visits = query.get("maxVisits")
        limits = Limits(playouts=visits) if isinstance(visits, int) and visits > 0 else None
        if board.session.is_over:
            board.session = board.turned_to(board.session.to_move)
        judgement = self.player.judge(board.session, limits)
        self.write(answer_of(query, task.turn, board, judgement))


def wanted_turns(query: dict[str, Any]) -> list[int]:
    """The turns to analyse: `analyzeTurns`, by default the last."""
    moves = query.get("moves", [])
    if not isinstance(moves, list) or len(moves) > _MOST_TURNS:
        raise QueryError("moves must be a list of [colour, vertex]", "moves")
    turns = query.get("analyzeTurns", [len(moves)])
    if not isinstance(turns, list) or not turns or len(turns) > _MOST_TURNS:
        raise QueryError("analyzeTurns must be a list of numbers", "analyzeTurns")
    if not all(type(turn) is int and 0 <= turn <= len(moves) for turn in turns):
        raise QueryError(f"analyzeTurns must be numbers from 0 to {len(moves)}", "analyzeTurns")
    return turns


def position_at(query: dict[str, Any], turn: int) -> GtpBoard:
    """Set up the position of a query after so many moves."""
    board = GtpBoard(_options(query))
    stones = np.zeros((board.size, board.size), np.int8)
    for player, cell in _moves(board, query, "initialStones"):
        if cell == board.size**2:
            raise QueryError("initialStones cannot pass", "initialStones")
        stones.flat[cell] = player + 1
    first = query.get("initialPlayer", "W" if stones.any() and not (stones == 2).any() else "B")
    if str(first).lower() not in _PLAYERS:
        raise QueryError(f"initialPlayer must be B or W, not {first!r}", "initialPlayer")
    try:
        board.set_position(stones, _PLAYERS[str(first).lower()])
        for number, (player, action) in enumerate(_moves(board, query, "moves")[:turn], start=1):
            try:
                board.play_action(player, action)
            except UserError:
                raise QueryError(f"move {number} is illegal", "moves") from None
    except QueryError:
        raise
    except UserError as error:
        raise QueryError(str(error), "initialStones") from None
    return board


def _options(query: dict[str, Any]) -> GoOptions:
    width, height = query.get("boardXSize"), query.get("boardYSize")
    if type(width) is not int or width != height:
        raise QueryError("boardXSize and boardYSize must be the same number", "boardXSize")
    rules = query.get("rules", "tromp-taylor")
    name = RULE_NAMES.get(rules.lower() if isinstance(rules, str) else "", "tromp-taylor")
    komi = query.get("komi", 7.5)
    if type(komi) not in (int, float) or not math.isfinite(komi):
        raise QueryError("komi must be a number", "komi")
    try:
        return GoOptions(size=width, komi=round(2 * komi) / 2, rules=name)  # type: ignore[arg-type]
    except UserError as error:
        raise QueryError(str(error), "boardXSize") from None


def _moves(board: GtpBoard, query: dict[str, Any], name: str) -> list[tuple[int, int]]:
    """Read [colour, vertex] pairs."""
    moves = []
    entries = query.get(name, [])
    for entry in entries if isinstance(entries, list) else [None]:
        if not (isinstance(entry, list) and len(entry) == 2 and all(map(_is_word, entry))):
            raise QueryError(f"{name} must be a list of [colour, vertex]", name)
        if entry[0].lower() not in _PLAYERS:
            raise QueryError(f"{entry[0]!r} is no colour", name)
        try:
            moves.append((_PLAYERS[entry[0].lower()], board.session.action_of(entry[1])))
        except UserError as error:
            raise QueryError(str(error), name) from None
    return moves


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 20


def answer_of(
    query: dict[str, Any], turn: int, board: GtpBoard, judgement: Judgement
) -> dict[str, Any]:
    """What KataGo would say, by default as Black sees it (reportAnalysisWinratesAs = BLACK)."""
    session = board.session
    owners = np.zeros(board.size**2)
    estimate_ownership(session.state, random_state(0)[0], _OWNERSHIP_PLAYOUTS, owners)
    settings = query.get("overrideSettings")
    view = settings.get("reportAnalysisWinratesAs") if isinstance(settings, dict) else None
    black = session.to_move == 0 if view == "SIDETOMOVE" else view != "WHITE"
    sign = 1 if black else -1
    lead = float(sign * (owners.sum() - board.options.compensation))
    turned = sign * (1 - 2 * session.to_move)
    order = [int(a) for a in np.argsort(-judgement.visits, kind="stable")]
    infos = []
    for rank, action in enumerate(a for a in order if judgement.visits[a] > 0):
        line = judgement.variation if action == judgement.action else (action,)
        rate = float((turned * np.nan_to_num(judgement.values[action]) + 1) / 2)
        infos.append(
            {
                "move": session.name_of(action),
                "visits": int(judgement.visits[action]),
                "winrate": rate,
                "lcb": rate,
                "utility": 2 * rate - 1,
                "scoreLead": lead,
                "scoreMean": lead,
                "scoreSelfplay": lead,
                "scoreStdev": 0.0,
                "prior": float(judgement.visits[action] / max(1, judgement.visits.sum())),
                "order": rank,
                "pv": [session.name_of(a) for a in line],
            }
        )
    answer: dict[str, Any] = {
        "id": query["id"],
        "isDuringSearch": False,
        "turnNumber": turn,
        "moveInfos": infos,
        "rootInfo": {
            "currentPlayer": "BW"[session.to_move],
            "visits": int(judgement.visits.sum()),
            "winrate": (turned * judgement.value + 1) / 2,
            "utility": turned * judgement.value,
            "scoreLead": lead,
            "scoreSelfplay": lead,
            "scoreStdev": 0.0,
        },
    }
    if query.get("includeOwnership"):
        answer["ownership"] = [round(float(sign * value), 4) for value in owners]
    if query.get("includePolicy"):
        shares = judgement.visits / max(1, judgement.visits.sum())
        mask = session.legal_mask()
        answer["policy"] = [
            float(s) if ok else -1.0 for s, ok in zip(shares, mask, strict=True)
        ]  # fmt: skip
    return answer
