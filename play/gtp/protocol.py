"""Go Text Protocol 2, draft 2 (Farnebaeck 2002): lines in, answers out."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UserError

MAX_LINE = 65_536
MAX_ID = 2**31 - 1


class GtpError(UserError):
    """What a command answers after `?`."""


SYNTAX = "syntax error"


@dataclass(frozen=True)
class Command:
    """One command of a client."""

    id: str
    """Digits to repeat in the answer; may be empty."""
    name: str
    arguments: tuple[str, ...]
    text: str = ""
    """The arguments as they were written."""


def parse_line(line: str) -> Command | None:
    """Read one line; None if it holds no command (section 2.5: comments and control characters)."""
    kept = "".join(" " if c == "\t" else c for c in line if c == "\t" or (c >= " " and c != "\x7f"))
    name, text = _first_word(kept.partition("#")[0])
    if not name:
        return None
    number = ""
    if name.isascii() and name.isdecimal():
        number = name if int(name[:11]) <= MAX_ID else ""
        name, text = _first_word(text)
    return Command(number, name, tuple(text.split()), text)


def _first_word(text: str) -> tuple[str, str]:
    """The first word, and what follows it as it was written."""
    word, _, rest = text.strip().partition(" ")
    return word, rest.strip()


def answer(command: Command, text: str, good: bool = True) -> str:
    """Format an answer, ended by exactly one empty line; empty lines inside it are dropped."""
    lines = [line.rstrip() for line in text.split("\n")]
    body = "\n".join([lines[0], *(line for line in lines[1:] if line)])
    space = " " if lines[0] else ""
    return f"{'=' if good else '?'}{command.id}{space}{body}\n\n"


def integer(word: str, low: int, high: int, fault: str = SYNTAX) -> int:
    """Read a whole number of a range, or fail."""
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 12):
        raise GtpError(SYNTAX)
    value = int(word)
    if not low <= value <= high:
        raise GtpError(fault)
    return value


def number(word: str, low: float, high: float = 2.0**31) -> float:
    """Read a number of a range, or fail."""
    try:
        value = float(word)
    except ValueError:
        raise GtpError(SYNTAX) from None
    if not low <= value <= high:
        raise GtpError(SYNTAX)
    return value


def colour(word: str) -> int:
    """Read a colour: the player, 0 black or 1 white."""
    players = {"b": 0, "black": 0, "w": 1, "white": 1}
    if word.lower() not in players:
        raise GtpError(SYNTAX)
    return players[word.lower()]
