"""A game of Go as SGF records it: who played, by which rules, and the moves of the main line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UserError
from core.files.atomic import replace_file
from envs.games.sgf.tree import Limits, Node, SgfError, parse, serialise

BLACK, WHITE = 1, 2
MAX_SIZE = 19
Move = tuple[int, int | None]
"""Colour (1 Black, 2 White) and cell (row * size + column from the top left), None a pass."""
_SETUP = ("AB", "AW", "AE")
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


def read_records(path: Path, limits: Limits | None = None) -> list[GameRecord]:
    """Read all games of a file.

    Raises:
        SgfError: it cannot be read; the message names the file and the fault.
    """
    try:
        roots = parse(path.read_bytes(), limits or Limits())
        return [record_of(root) for root in roots]
    except OSError as error:
        raise SgfError(f"{path}: {error.strerror}") from error
    except SgfError as error:
        raise SgfError(f"{path}: {error}") from error


def record_of(root: Node) -> GameRecord:
    """Read the main line of a game.

    Raises:
        SgfError: a property holds what cannot be, or stones are set up in mid-game.
    """
    if root.get("GM", "1").strip() not in ("", "1"):
        raise SgfError(f"GM: {root.get('GM')[:20]!r} is not Go, which is 1")
    size = _size(root)
    black, white = _stones(root, size)
    moves: list[Move] = []
    comments: dict[int, str] = {}
    for node in root.main_line():
        if node is not root and any(name in node.properties for name in _SETUP):
            if moves:
                raise SgfError(f"stones are set up after move {len(moves)}; only games are read")
            more_black, more_white = _stones(node, size)
            black, white = black | more_black, white | more_white
        for name, colour in (("B", BLACK), ("W", WHITE)):
            if name in node.properties:
                moves.append((colour, point(node.get(name), size)))
        if text := node.get("C"):
            comments[len(moves)] = text
    handicap = _number(root, "HA", 0)
    first = _usual_first(black, white)
    if root.get("PL"):
        first = WHITE if root.get("PL").strip().lower().startswith(("w", "2")) else BLACK
    return GameRecord(
        size=size,
        komi=_number(root, "KM", 0.0),
        handicap=int(handicap),
        time_limit_seconds=_number(root, "TM", 0.0) if root.get("TM").strip() else None,
        black_stones=tuple(sorted(black)),
        white_stones=tuple(sorted(white)),
        to_move=moves[0][0] if moves else first,
        moves=tuple(moves),
        comments=comments,
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


def _number(root: Node, name: str, default: float) -> float:
    """A number property; empty means the default."""
    text = root.get(name).strip()
    if not text:
        return default
    # Some programs write a comma, or units after the number.
    match = re.match(r"[+-]?\d{1,9}([.,]\d{0,9})?", text)
    if match is None:
        raise SgfError(f"{name}: {text[:20]!r} is no number")
    return float(match[0].replace(",", "."))


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


def _stones(node: Node, size: int) -> tuple[set[int], set[int]]:
    """Cells of AB and AW, less those of AE; `ab:cd` is a rectangle."""
    cells: dict[str, set[int]] = {name: set() for name in _SETUP}
    for name in _SETUP:
        for value in node.properties.get(name, []):
            corner, _, other = value.partition(":")
            first = point(corner, size)
            last = point(other, size) if other else first
            if first is None or last is None:
                if value.strip():
                    raise SgfError(f"{name}: {value[:20]!r} is no point")
                continue
            rows = range(first // size, last // size + 1)
            columns = range(first % size, last % size + 1)
            cells[name].update(r * size + c for r in rows for c in columns)
    return cells["AB"] - cells["AE"], cells["AW"] - cells["AE"]


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
