"""Boards as text: readable without colours, prettier with them."""

from __future__ import annotations

from envs.games.notation import COLUMN_LETTERS
from envs.games.session import Session

_STAR_LINES = {9: (2, 4, 6), 13: (3, 6, 9), 19: (3, 9, 15)}
_RESET, _WOOD, _DARK, _LIGHT, _DIM = "\033[0m", "\033[48;5;179m", "\033[30m", "\033[97m", "\033[2m"


def board_text(session: Session, colour: bool = False) -> str:
    """Draw the board with coordinates, the last move in brackets; no newline at the end."""
    cells = session.cells()
    height, width = cells.shape
    last = session.last_cell()
    header = "    " + " ".join(_column_names(session, width))
    lines = [header]
    for row in range(height):
        drawn = []
        for column in range(width):
            symbol = _symbol(session, int(cells[row, column]), row, column)
            drawn.append(_paint(symbol, int(cells[row, column])) if colour else symbol)
        marks = [" "] * (width + 1)
        if last is not None and last // width == row:
            marks[last % width], marks[last % width + 1] = "(", ")"
        text = "".join(mark + symbol for mark, symbol in zip(marks, [*drawn, ""], strict=True))
        board = f"{_WOOD}{_DARK}{text}{_RESET}" if colour else text
        name = "  " if session.game.naming == "columns" else f"{height - row:2d}"
        lines.append(f" {name}{board}{'' if name == '  ' else ' ' + name.strip()}".rstrip())
    return "\n".join([*lines, header])


def _column_names(session: Session, width: int) -> list[str]:
    if session.game.naming == "columns":
        return [str(column + 1) for column in range(width)]
    return list(COLUMN_LETTERS[:width])


def _symbol(session: Session, value: int, row: int, column: int) -> str:
    height, width = session.options.shape
    stars = _STAR_LINES.get(height, ()) if height == width and session.game.name == "go" else ()
    if value == 0 and row in stars and column in stars:
        return "+"
    return session.game.symbols[value]


def _paint(symbol: str, value: int) -> str:
    if value == 0:
        return f"{_DARK}{_DIM}{symbol}{_RESET}{_WOOD}{_DARK}"
    return f"{_DARK if value == 1 else _LIGHT}●{_DARK}"
