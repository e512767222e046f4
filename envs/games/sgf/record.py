"""A game of Go as SGF records it: who played, by which rules, and the moves of the main line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UserError
from core.files.atomic import read_bounded, replace_file
from envs.games.sgf.tree import Limits, Node, SgfError, parse, serialise

EMPTY, BLACK, WHITE = 0, 1, 2
MAX_SIZE = 19
Move = tuple[int, int | None]
"""Colour (1 Black, 2 White) and cell (row * size + column from the top left), None a pass."""
_SETUP = ("AB", "AW", "AE")
_TOO_LARGE = 1e9
_HUNDREDTHS = 100
"""From here on komi is not in points."""
_TEXTS = {
    "rules": "RU",
    "black": "PB",
    "white": "PW",
    "black_rank": "BR",
    "white_rank": "WR",
    "result": "RE",
    "date": "DT",
    "event": "EV",
    "overtime": "OT",
}


@dataclass(frozen=True)
class GameRecord:
    """One game; cells count row by row from the top left."""

    size: int = 19
    komi: float = 0.0
    handicap: int = 0
    rules: str = ""
    black: str = ""
    white: str = ""
    black_rank: str = ""
    white_rank: str = ""
    result: str = ""
    """As written: B+3.5, W+R, 0 ..."""
    date: str = ""
    event: str = ""
    time_limit_seconds: float | None = None
    overtime: str = ""
    black_stones: tuple[int, ...] = ()
    """Cells that Black's stones stand on before the first move."""
    white_stones: tuple[int, ...] = ()
    to_move: int = BLACK
    """Who moves first."""
    moves: tuple[Move, ...] = ()
    comments: dict[int, str] = field(default_factory=dict)
    """By number of moves played before it: what is said there."""
    warnings: tuple[str, ...] = ()
    """What in its file could not be read, and what was made of it."""


def read_records(path: Path, limits: Limits | None = None) -> list[GameRecord]:
    """Read all games of a file.

    Raises:
        SgfError: it cannot be read; the message names the file and the fault.
    """
    limits = limits or Limits()
    try:
        roots = parse(read_bounded(path, limits.bytes), limits)
        return [record_of(root) for root in roots]
    except OSError as error:
        raise SgfError(f"{path}: {error.strerror}") from error
    except SgfError as error:
        raise SgfError(f"{path}: {error}") from error


def record_of(root: Node) -> GameRecord:
    """Read the main line of a game.

    Raises:
        SgfError: a size or a point is none. What else cannot be read is left out with a warning.
    """
    if root.get("GM", "1").strip() not in ("", "1"):
        raise SgfError(f"GM: {root.get('GM')[:20]!r} is not Go, which is 1")
    size = _size(root)
    warnings = list(root.warnings)
    board: dict[int, int] = {}
    moves: list[Move] = []
    comments: dict[int, str] = {}
    for node in root.main_line():
        if any(name in node.properties for name in _SETUP):
            if moves:
                warnings.append(f"stones are set up after move {len(moves)}; read up to there")
                break
            _set_up(board, node, size)
        for name, colour in (("B", BLACK), ("W", WHITE)):
            if name in node.properties:
                moves.append((colour, point(node.get(name), size)))
        if text := node.get("C"):
            comments[len(moves)] = text
    black, white = ({c for c in board if board[c] == colour} for colour in (BLACK, WHITE))
    first = _usual_first(black, white)
    if root.get("PL"):
        first = WHITE if root.get("PL").strip().lower().startswith(("w", "2")) else BLACK
    return GameRecord(
        size=size,
        komi=_komi(root, warnings),
        handicap=int(_number(root, "HA", warnings) or 0),
        time_limit_seconds=_number(root, "TM", warnings),
        black_stones=tuple(sorted(black)),
        white_stones=tuple(sorted(white)),
        to_move=moves[0][0] if moves else first,
        moves=tuple(moves),
        comments=comments,
        warnings=tuple(warnings),
        **{key: " ".join(root.get(name).split()) for key, name in _TEXTS.items()},
    )


def _usual_first(black: Collection[int], white: Collection[int]) -> int:
    """Who moves first where nothing says so: White after Black's handicap stones."""
    return WHITE if black and not white else BLACK


def _size(root: Node) -> int:
    text = root.get("SZ", "19").strip() or "19"
    width, _, height = text.partition(":")
    if not width.isdecimal() or (height and height != width) or not width.isascii():
        raise SgfError(f"SZ: {text[:20]!r} is no square board")
    if not 1 <= int(width[:6]) <= MAX_SIZE:
        raise SgfError(f"SZ: {text[:20]!r}, but boards of 1 to {MAX_SIZE} lines are read")
    return int(width)


def _number(root: Node, name: str, warnings: list[str]) -> float | None:
    """A number property; None where it is empty, or says no number, with a warning."""
    text = root.get(name).strip()
    if not text:
        return None
    if clock := re.fullmatch(r"(?:(\d{1,6}):)?(\d{1,6}):(\d{1,6})", text, re.ASCII):
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return 3600.0 * hours + 60 * minutes + seconds
    # Some programs write a comma, or units after the number.
    match = re.match(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)", text, re.ASCII)
    value = float(match[0].replace(",", ".")) if match else _TOO_LARGE
    if abs(value) < _TOO_LARGE:
        return value
    warnings.append(f"{name}: {text[:20]!r} is no number that can be")
    return None


def _komi(root: Node, warnings: list[str]) -> float:
    """Komi in points. Fox writes hundredths: of points, or of Chinese stones, which are two."""
    komi = _number(root, "KM", warnings) or 0.0
    if abs(komi) < _HUNDREDTHS:
        return komi
    points = komi / 100 if komi % 50 == 0 else komi / 50
    warnings.append(f"KM: {root.get('KM').strip()[:20]!r} is taken for {points:g}")
    return points


def point(text: str, size: int) -> int | None:
    """Read a move: two letters from the top left; nothing, or tt up to 19 lines, is a pass.

    Raises:
        SgfError: it is not on the board.
    """
    letters = text.strip().lower()
    if letters in ("", "tt"):
        return None
    if len(letters) == 2:
        column, row = (ord(letter) - ord("a") for letter in letters)
        if 0 <= column < size and 0 <= row < size:
            return row * size + column
    raise SgfError(f"{text[:20]!r} is no point of a board of {size} lines")


def _set_up(board: dict[int, int], node: Node, size: int) -> None:
    """Put the stones of AB and AW on a board {cell: colour}, take those of AE off; `ab:cd` is a
    rectangle. What a later node says holds.
    """
    for name, colour in (("AB", BLACK), ("AW", WHITE), ("AE", EMPTY)):
        for value in node.properties.get(name, []):
            corner, _, other = value.partition(":")
            first = point(corner, size)
            last = point(other, size) if other else first
            if first is None or last is None:
                if value.strip():
                    raise SgfError(f"{name}: {value[:20]!r} is no point")
                continue
            for row in range(first // size, last // size + 1):
                for column in range(first % size, last % size + 1):
                    board[row * size + column] = colour


def tree_of(record: GameRecord) -> Node:
    """Make the tree of a record: a root with its facts, then a node for every move."""
    facts = {"FF": "4", "GM": "1", "CA": "UTF-8", "AP": "Tengen", "SZ": str(record.size)}
    facts["KM"] = f"{record.komi:g}"
    if record.handicap:
        facts["HA"] = str(record.handicap)
    facts |= {name: getattr(record, key) for key, name in _TEXTS.items() if getattr(record, key)}
    if record.time_limit_seconds is not None:
        facts["TM"] = f"{record.time_limit_seconds:g}"
    root = Node({name: [value] for name, value in facts.items()})
    for name, cells in (("AB", record.black_stones), ("AW", record.white_stones)):
        if cells:
            root.properties[name] = [letters(cell, record.size) for cell in cells]
    usual = _usual_first(record.black_stones, record.white_stones)
    if not record.moves and record.to_move != usual:
        root.properties["PL"] = ["W" if record.to_move == WHITE else "B"]
    node = root
    for number in range(len(record.moves) + 1):
        if number:
            colour, cell = record.moves[number - 1]
            text = "" if cell is None else letters(cell, record.size)
            following = Node({"B" if colour == BLACK else "W": [text]})
            node.children.append(following)
            node = following
        if number in record.comments:
            node.properties["C"] = [record.comments[number]]
    return root


def letters(cell: int, size: int) -> str:
    """Name a cell as SGF does: column and row from the top left, a to s."""
    return f"{chr(ord('a') + cell % size)}{chr(ord('a') + cell // size)}"


def write_records(path: Path, records: Sequence[GameRecord]) -> None:
    """Write games to one file, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        replace_file(path, [serialise([tree_of(record) for record in records])])
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
