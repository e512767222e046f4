"""Between games in progress and SGF records."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

from core.errors import UserError
from envs.games.options import GoOptions
from envs.games.session import Session
from envs.games.sgf.record import GameRecord, write_records

_RULES = {
    "tromp-taylor": "Tromp-Taylor",
    "chinese": "Chinese",
    "chinese-superko": "Chinese, positional superko",
    "aga": "AGA",
    "new-zealand": "NZ",
    "cgos": "CGOS",
}


def record_session(
    session: Session, result: str, black: str, white: str, note: str = ""
) -> GameRecord:
    """Make the record of a game of Go; a note is said after the last move."""
    options: GoOptions = session.options
    cells = options.size**2
    first = Session(session.game, options, session.first_state())
    stones = first.cells().ravel()
    moves = [(p + 1, a if a < cells else None) for p, a in session.actions]
    return GameRecord(
        size=options.size,
        komi=options.komi,
        handicap=options.handicap,
        rules=_RULES[options.rules],
        black=black,
        white=white,
        result=result,
        date=datetime.date.today().isoformat(),
        black_stones=tuple(int(cell) for cell in np.flatnonzero(stones == 1)),
        white_stones=tuple(int(cell) for cell in np.flatnonzero(stones == 2)),
        to_move=first.to_move + 1,
        moves=tuple(moves),
        comments={len(moves): note} if note else {},
    )


def write_session(
    path: Path, session: Session, result: str, black: str, white: str, note: str = ""
) -> None:
    """Write a game of Go as SGF; UserError if it cannot be written or is not Go."""
    if session.game.name != "go":
        raise UserError(f"SGF is written for Go, not for {session.game.title}")
    write_records(path, [record_session(session, result, black, white, note)])
