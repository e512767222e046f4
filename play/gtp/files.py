"""Game records over GTP: loadsgf and printsgf."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from core.errors import UserError
from envs.games.options import GoOptions
from envs.games.sgf.record import GameRecord, read_records, tree_of, write_records
from envs.games.sgf.tree import serialise
from play.gtp.board import GtpBoard
from play.gtp.protocol import SYNTAX, Command, GtpError, integer
from play.gtp.server import GtpServer, Handler
from play.records import record_session


def loadsgf(server: GtpServer, command: Command) -> str:
    """Load the first game of a file, up to before a move; return whose turn it is."""
    if not command.arguments:
        raise GtpError(SYNTAX)
    path, last = Path(command.text), 10**6
    name, _, number = command.text.rpartition(" ")
    if name and number.lstrip("-").isdecimal() and not _exists(path):
        path, last = Path(name), integer(number, 1, 10**6) - 1
    try:
        record = read_records(path)[0]
        for warning in record.warnings:
            sys.stderr.write(f"tengen: warning: {path}: {warning}\n")
        server.board = position_of(record, last, server.board.options)
    except UserError as error:
        raise GtpError(f"cannot load file: {error}") from None
    return ("black", "white")[server.board.session.to_move]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a name
        return False


def position_of(record: GameRecord, last: int, options: GoOptions) -> GtpBoard:
    """Replay a record up to so many moves, under the rules of `options`.

    Raises:
        UserError: a move is illegal; the message has its number.
    """
    komi = round(2 * record.komi) / 2
    board = GtpBoard(GoOptions(record.size, komi, options.rules, move_limit=options.move_limit))
    stones = np.zeros((record.size, record.size), np.int8)
    stones.flat[list(record.black_stones)] = 1
    stones.flat[list(record.white_stones)] = 2
    if stones.any() or record.to_move == 2:
        board.set_position(stones, record.to_move - 1)
    for number, (colour, cell) in enumerate(record.moves[:last], start=1):
        try:
            board.play_action(colour - 1, record.size**2 if cell is None else cell)
        except GtpError as error:
            raise GtpError(f"move {number} is an {error}") from None
    return board


def printsgf(server: GtpServer, command: Command) -> str:
    """Write the game to a file that is named .sgf, or without a name say it."""
    record = record_session(server.board.session, "", "", "")
    if not command.arguments:
        return serialise([tree_of(record)]).decode()
    path = Path(command.text)
    if path.suffix.lower() != ".sgf":
        raise GtpError("cannot write: the file's name must end in .sgf")
    write_records(path, [record])
    return ""


FILES: dict[str, Handler] = {"loadsgf": loadsgf, "printsgf": printsgf}
