"""Names of actions as people and GTP write them: D4, pass, or the number of a column."""

from __future__ import annotations

from typing import Any

from core.errors import UserError
from envs.games.game import Game

COLUMN_LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""Without I, as on Go boards since it is easily taken for J."""
PASS = "pass"


def cell_name(cell: int, height: int, width: int) -> str:
    """Name a cell: letter of the column, row counted from the bottom."""
    return f"{COLUMN_LETTERS[cell % width]}{height - cell // width}"


def action_name(game: Game, options: Any, action: int) -> str:
    """Name an action."""
    height, width = options.shape
    if game.has_pass and action == game.actions(options) - 1:
        return PASS
    if game.action_names is not None:
        return game.action_names(options)[action]
    return str(action + 1) if game.naming == "columns" else cell_name(action, height, width)


def parse_action(game: Game, options: Any, text: str) -> int:
    """Return the action of a name in any case.

    Raises:
        UserError: there is no such action; says what one looks like.
    """
    word = text.strip().upper()
    if game.has_pass and word == "PASS":
        return game.actions(options) - 1
    if game.action_names is not None:
        names = [name.upper() for name in game.action_names(options)]
        if word in names:
            return names.index(word)
        raise UserError(
            f"{text!r} is no move here; moves look like {game.action_names(options)[0]}"
        )
    height, width = options.shape
    if game.naming == "columns":
        if word.isascii() and word.isdecimal() and 1 <= int(word[:9]) <= width:
            return int(word) - 1
        raise UserError(f"{text!r} is no column; columns are numbered 1 to {width}")
    column = COLUMN_LETTERS.find(word[:1]) if word else -1
    digits = word[1:]
    if 0 <= column < width and digits.isascii() and digits.isdecimal():
        row = int(digits[:9])
        if 1 <= row <= height:
            return (height - row) * width + column
    last = cell_name(width - 1, height, width)
    raise UserError(f"{text!r} is no point of the board; points run from A1 to {last}")
