"""What a query asks: read and checked field by field, and the position of each of its turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from core.errors import UserError
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.session import Session
from play.gtp.board import GtpBoard
from play.rules import Rules, parse_rules, with_rule
from search.player import Limits

_MOST_TURNS = 1_000
_MOST_VISITS = 10**9
_PLAYERS = {"b": 0, "w": 1, "black": 0, "white": 1}
_VIEWS = ("BLACK", "WHITE", "SIDETOMOVE")
INCLUDED = (
    "includeOwnership", "includeOwnershipStdev", "includeMovesOwnership", "includePolicy",
    "includePVVisits",
)  # fmt: skip
_READ = {
    "id", "moves", "initialStones", "initialPlayer", "rules", "komi", "whiteHandicapBonus",
    "boardXSize", "boardYSize", "analyzeTurns", "maxVisits", "analysisPVLen", "avoidMoves",
    "allowMoves", "overrideSettings", "reportDuringSearchEvery", "priority", "priorities",
    *INCLUDED,
}  # fmt: skip
_NEUTRAL = {"wideRootNoise": 0, "ignorePreRootHistory": False, "playoutDoublingAdvantage": 0,
            "antiMirror": False}  # fmt: skip
"""Settings that are not there, and the value at which that makes no difference."""


class QueryError(UserError):
    """A query that cannot be answered; `field` names what is wrong."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class AnalysisQuery:
    """A query whose fields are all right. Moves are (player, action)."""

    id: str
    options: GoOptions
    territory: bool
    """Whether territory is counted, not area."""
    stones: tuple[tuple[int, int], ...]
    first_player: int
    moves: tuple[tuple[int, int], ...]
    turns: tuple[int, ...]
    priorities: tuple[int, ...]
    limits: Limits
    report_every: float
    """Seconds between reports, 0: only at the end."""
    avoided: Mapping[int, frozenset[int]]
    """By player: actions that must not be chosen."""
    view: str
    """Whose win rates are reported: BLACK, WHITE, SIDETOMOVE."""
    include: frozenset[str]
    line_length: int
    """Moves of a variation after its first."""
    warnings: tuple[tuple[str, str], ...] = field(default=())
    """(message, field)"""

    def limits_at(self, board: GtpBoard) -> Limits | None:
        """How long to search a position, and among which moves; None: as the player likes.

        Raises:
            UserError: nothing that is legal may be chosen.
        """
        limits = self.limits
        if avoided := self.avoided.get(board.session.to_move):
            legal = frozenset(np.flatnonzero(board.session.legal_mask()).tolist())
            if not legal - avoided:
                raise UserError("every legal move is to be avoided")
            limits = replace(limits, allowed=legal - avoided)
        return None if limits == Limits() else limits


def read_query(query: dict[str, Any]) -> AnalysisQuery:
    """Check every field; QueryError names the first that is wrong."""
    rules, options = _rules(query), _options(query)
    board = GtpBoard(options)
    stones = _moves(board.session, query, "initialStones")
    if any(cell == options.size**2 for _, cell in stones):
        raise QueryError("initialStones cannot pass", "initialStones")
    black_alone = bool(stones) and all(player == 0 for player, _ in stones)
    bonus = rules.points_for(len(stones)) if black_alone and len(stones) > 1 else 0
    try:
        options = replace(options, komi=options.komi + bonus)
    except UserError as error:
        raise QueryError(str(error), "komi") from None
    moves = _moves(board.session, query, "moves")
    first = moves[0][0] if moves else int(black_alone and len(stones) > 1)
    if "initialPlayer" in query:
        first = _player(query["initialPlayer"], "initialPlayer")
    turns = _turns(query, len(moves))
    limits, view, warnings = _settings(query)
    warnings += [(f"there is no {name[:40]}", name) for name in query if name not in _READ]
    if rules.scoring == "TERRITORY":
        warnings.append(("territory is counted by way of area: a point may be off", "rules"))
    return AnalysisQuery(
        query["id"], options, rules.scoring == "TERRITORY", stones, first,
        moves, turns, _priorities(query, turns), limits,
        _number(query, "reportDuringSearchEvery", 0.001, 1e6, 0.0),
        _avoided(query, board.session, warnings), view,
        frozenset(name for name in INCLUDED if query.get(name) is True),
        int(_number(query, "analysisPVLen", 1, 1000, 10, whole=True)), tuple(warnings),
    )  # fmt: skip


def position_at(query: AnalysisQuery, turn: int) -> GtpBoard:
    """Set up the position after so many moves; a game that is over goes on.

    Under territory scoring White is given what Black placed more: see `play/rules.py`.
    """
    board = GtpBoard(query.options)
    stones = np.zeros((board.size, board.size), np.int8)
    for player, cell in query.stones:
        stones.flat[cell] = player + 1
    try:
        board.set_position(stones, query.first_player)
    except UserError as error:
        raise QueryError(str(error), "initialStones") from None
    for number, (player, action) in enumerate(query.moves[:turn], start=1):
        try:
            board.play_action(player, action)
        except UserError:
            raise QueryError(f"move {number} is illegal", "moves") from None
    # Komi holds what White is given for handicap stones already.
    board.options = replace(board.options, handicap=0)
    board.set_komi(query.options.komi + (board.stones_ahead() if query.territory else 0))
    if board.session.is_over:
        board.session = board.turned_to(board.session.to_move)
    return board


def _rules(query: dict[str, Any]) -> Rules:
    """The rules, if analysis knows them."""
    try:
        rules = parse_rules(query.get("rules", "tromp-taylor"))
    except UserError as error:
        raise QueryError(str(error), "rules") from None
    if "whiteHandicapBonus" in query:
        try:
            rules = with_rule(rules, "whiteHandicapBonus", query["whiteHandicapBonus"])
        except UserError as error:
            raise QueryError(str(error), "whiteHandicapBonus") from None
    if rules.button or rules.tax == "ALL" or (rules.scoring == "AREA" and rules.tax != "NONE"):
        raise QueryError("rules with a button or a tax on groups are not known here", "rules")
    if rules.play_ruleset is None:
        raise QueryError(f"ko {rules.ko} with suicide is not known here", "rules")
    return rules


def _options(query: dict[str, Any]) -> GoOptions:
    """Board, komi and rules of play; what White is given for handicap stones is not in yet."""
    width, height = query.get("boardXSize"), query.get("boardYSize")
    if type(width) is not int or width != height:
        raise QueryError("boardXSize and boardYSize must be the same number", "boardXSize")
    rules = _rules(query)
    komi = query.get("komi", rules.default_komi)
    if type(komi) not in (int, float) or not -400 <= komi <= 400:
        raise QueryError("komi must be a number from -400 to 400", "komi")
    assert rules.play_ruleset is not None
    try:
        return GoOptions(size=width, komi=round(2 * komi) / 2, rules=rules.play_ruleset)
    except UserError as error:
        raise QueryError(str(error), "boardXSize") from None


def _moves(session: Session, query: dict[str, Any], name: str) -> tuple[tuple[int, int], ...]:
    """Read [colour, vertex] pairs."""
    entries = query.get(name, [])
    if not isinstance(entries, list) or len(entries) > _MOST_TURNS:
        raise QueryError(f"{name} must be a list of [colour, vertex]", name)
    moves = []
    for entry in entries:
        if not (isinstance(entry, list) and len(entry) == 2 and all(map(_is_word, entry))):
            raise QueryError(f"{name} must be a list of [colour, vertex]", name)
        moves.append((_player(entry[0], name), _action(session, entry[1], name)))
    return tuple(moves)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 20


def _player(word: Any, name: str) -> int:
    if not _is_word(word) or word.lower() not in _PLAYERS:
        raise QueryError(f"{str(word)[:40]!r} is no colour", name)
    return _PLAYERS[word.lower()]


def _action(session: Session, word: Any, name: str) -> int:
    if not _is_word(word):
        raise QueryError(f"{str(word)[:40]!r} is no vertex", name)
    try:
        return session.action_of(word)
    except UserError as error:
        raise QueryError(str(error), name) from None


def _turns(query: dict[str, Any], last: int) -> tuple[int, ...]:
    """The turns to analyse: `analyzeTurns`, by default the last."""
    turns = query.get("analyzeTurns", [last])
    if not isinstance(turns, list) or not turns or len(turns) > _MOST_TURNS:
        raise QueryError("analyzeTurns must be a list of numbers", "analyzeTurns")
    if not all(type(turn) is int and 0 <= turn <= last for turn in turns):
        raise QueryError(f"analyzeTurns must be numbers from 0 to {last}", "analyzeTurns")
    return tuple(turns)


def _priorities(query: dict[str, Any], turns: tuple[int, ...]) -> tuple[int, ...]:
    """A priority for each turn."""
    priorities = query.get("priorities")
    if priorities is None:
        return (int(_number(query, "priority", -(2**31), 2**31, 0, whole=True)),) * len(turns)
    if not isinstance(priorities, list) or len(priorities) != len(turns):
        raise QueryError("priorities must be as many numbers as analyzeTurns", "priorities")
    each = [{"priorities": value} for value in priorities]
    return tuple(int(_number(e, "priorities", -(2**31), 2**31, 0, whole=True)) for e in each)


def _number(
    query: dict[str, Any], name: str, low: float, high: float, default: float, whole: bool = False
) -> float:
    """Read a number within bounds."""
    value = query.get(name, default)
    kinds = (int,) if whole else (int, float)
    if name not in query or (type(value) in kinds and low <= value <= high):
        number: float = value
        return number
    kind = "whole number" if whole else "number"
    raise QueryError(f"{name} must be a {kind} from {low:g} to {high:g}", name)


def _settings(query: dict[str, Any]) -> tuple[Limits, str, list[tuple[str, str]]]:
    """Limits, whose view is reported, and warnings of settings that make no difference here."""
    settings = query.get("overrideSettings", {})
    if not isinstance(settings, dict):
        raise QueryError("overrideSettings must be an object", "overrideSettings")
    named = {**settings, **({"maxVisits": query["maxVisits"]} if "maxVisits" in query else {})}
    visits = _number(named, "maxVisits", 1, _MOST_VISITS, 0, whole=True)
    seconds = _number(named, "maxTime", 0, 1e20, 0.0)
    view = settings.get("reportAnalysisWinratesAs", "BLACK")
    if view not in _VIEWS:
        words = ", ".join(_VIEWS)
        raise QueryError(f"reportAnalysisWinratesAs must be one of {words}", "overrideSettings")
    known = {"maxVisits", "maxTime", "reportAnalysisWinratesAs"}
    warnings = [
        (f"the setting {name[:40]} makes no difference here", "overrideSettings")
        for name, value in settings.items()
        if name not in known and not (name in _NEUTRAL and _NEUTRAL[name] == value)
    ]  # fmt: skip
    return Limits(int(visits) or None, seconds or None), view, warnings


def _avoided(
    query: dict[str, Any], session: Session, warnings: list[tuple[str, str]]
) -> dict[int, frozenset[int]]:
    """By player: what `avoidMoves` and `allowMoves` leave out at the position itself."""
    avoided: dict[int, frozenset[int]] = {}
    every = frozenset(range(GO.actions(session.options)))
    for name in ("avoidMoves", "allowMoves"):
        entries = query.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise QueryError(f"{name} must be a list of objects", name)
        for entry in entries:
            moves = entry.get("moves")
            if not isinstance(moves, list) or len(moves) > len(every):
                raise QueryError(f"{name} needs moves, a list of vertices", name)
            player = _player(entry.get("player"), name)
            said = frozenset(_action(session, word, name) for word in moves)
            if _number(entry, "untilDepth", 1, 10**9, 1, whole=True) > 1:
                warnings.append((f"{name} holds for the next move only (untilDepth 1)", name))
            avoided[player] = avoided.get(player, frozenset()) | (
                said if name == "avoidMoves" else every - said
            )
    return avoided
