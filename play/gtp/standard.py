"""The commands of GTP 2: administration, setup, play, time, scoring and debugging."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time

import numpy as np

from envs.games.go.board import EMPTIES
from envs.games.go.estimate import area_margin, chains, dead_cells
from envs.games.notation import cell_name
from envs.games.options import RULESETS
from envs.games.text import board_text
from play.gtp.board import GtpBoard
from play.gtp.protocol import SYNTAX, Command, GtpError, colour, integer, number
from play.gtp.server import GtpServer, Handler
from search.player import RESIGN, Judgement, Limits, Watcher

VERSION = "0.1"
_HANDICAP_PLAYOUTS = 1_000


def wanted(command: Command, count: int) -> tuple[str, ...]:
    """The arguments, exactly so many."""
    if len(command.arguments) != count:
        raise GtpError(SYNTAX)
    return command.arguments


def list_commands(server: GtpServer, command: Command) -> str:
    """One name a line."""
    return "\n".join(sorted(server.handlers))


def known_command(server: GtpServer, command: Command) -> str:
    """Whether there is such a command."""
    return str(" ".join(command.arguments) in server.handlers).lower()


def quit_engine(server: GtpServer, command: Command) -> str:
    """End after this answer."""
    server.stop = True
    return ""


def boardsize(server: GtpServer, command: Command) -> str:
    """Set the size; the board is cleared."""
    size = integer(wanted(command, 1)[0], 2, 19, "unacceptable size")
    server.board.clear(size=size)
    return ""


def rectangular_boardsize(server: GtpServer, command: Command) -> str:
    """Set width and height, which must be the same."""
    width, height = (integer(word, 2, 19, "unacceptable size") for word in wanted(command, 2))
    if width != height:
        raise GtpError("unacceptable size")
    server.board.clear(size=width)
    return ""


def clear_board(server: GtpServer, command: Command) -> str:
    """Start a new game."""
    server.board.clear()
    server.clock.left = {}
    return ""


def komi(server: GtpServer, command: Command) -> str:
    """Set komi; halves only."""
    try:
        value = float(wanted(command, 1)[0])
    except ValueError:
        raise GtpError(SYNTAX) from None
    if not math.isfinite(value) or 2 * value != round(2 * value) or abs(value) > 1000:
        raise GtpError("komi must be a multiple of 0.5")
    server.board.set_komi(value)
    return ""


def play(server: GtpServer, command: Command) -> str:
    """Play a move for either colour."""
    who, vertex = wanted(command, 2)
    server.board.play(colour(who), vertex)
    return ""


def think(
    server: GtpServer,
    player: int,
    allowed: frozenset[int] | None = None,
    watch: Watcher | None = None,
) -> Judgement:
    """Let the player judge the position for a colour, within its time."""
    session = server.board.turned_to(player)
    clock = server.clock.seconds(player, int(session.state[EMPTIES]))
    given = [seconds for seconds in (clock, server.limits.seconds) if seconds is not None]
    limits = Limits(server.limits.playouts, min(given, default=None), allowed)
    return server.player.judge(session, None if limits == Limits() else limits, watch)


def decide(
    server: GtpServer,
    player: int,
    allowed: frozenset[int] | None = None,
    watch: Watcher | None = None,
) -> Judgement:
    """`think` of a move to be played, on the colour's own clock."""
    began = time.monotonic()
    judgement = think(server, player, allowed, watch)
    server.clock.spend(player, time.monotonic() - began)
    return judgement


def move_name(server: GtpServer, action: int) -> str:
    """Name a move as GNU Go does: Kigo knows a pass only in capitals."""
    name = server.board.session.name_of(action)
    return "PASS" if name == "pass" else name


def genmove(server: GtpServer, command: Command) -> str:
    """Choose a move and play it."""
    player = colour(wanted(command, 1)[0])
    judgement = decide(server, player)
    if judgement.action == RESIGN:
        return "resign"
    server.board.play_action(player, judgement.action)
    return move_name(server, judgement.action)


def reg_genmove(server: GtpServer, command: Command) -> str:
    """Choose a move without playing it."""
    judgement = think(server, colour(wanted(command, 1)[0]))
    if judgement.action == RESIGN:
        return "resign"
    return move_name(server, judgement.action)


def undo(server: GtpServer, command: Command) -> str:
    """Take the last move back."""
    server.board.undo()
    return ""


def fixed_handicap(server: GtpServer, command: Command) -> str:
    """Place stones at the points of section 4.1.1; return them."""
    stones = integer(wanted(command, 1)[0], 2, 9, "invalid number of stones")
    if not server.board.is_empty:
        raise GtpError("board not empty")
    return vertices(server, server.board.fixed_handicap(stones))


def place_free_handicap(server: GtpServer, command: Command) -> str:
    """Place stones at their fixed points, or where the player likes if there are none."""
    board = server.board
    stones = integer(wanted(command, 1)[0], 2, board.size**2 - 1, "invalid number of stones")
    if not board.is_empty:
        raise GtpError("board not empty")
    with contextlib.suppress(GtpError):
        return vertices(server, board.fixed_handicap(stones))
    trial = GtpBoard(dataclasses.replace(board.options, handicap=0))
    cells: list[int] = []
    while len(cells) < min(stones, max(2, board.size**2 // 4)):
        session = trial.turned_to(0)
        free = frozenset(np.flatnonzero(session.legal_mask()[:-1]).tolist())
        judgement = server.player.judge(session, Limits(_HANDICAP_PLAYOUTS, None, free))
        action = int(np.argmax(judgement.visits))  # whoever would resign has a best move too
        trial.play_action(0, action)
        cells.append(action)
    board.place_handicap(cells)
    return vertices(server, cells)


def set_free_handicap(server: GtpServer, command: Command) -> str:
    """Place the stones that the client names."""
    board = server.board
    if not board.is_empty:
        raise GtpError("board not empty")
    cells = [_cell(server, word) for word in command.arguments]
    if len(set(cells)) != len(cells) or not 2 <= len(cells) < board.size**2:
        raise GtpError("bad vertex list")
    board.place_handicap(cells)
    return ""


def _cell(server: GtpServer, word: str) -> int:
    """The cell of a vertex that is not a pass."""
    board = server.board
    cell = board.session.action_of(word)
    if cell == board.size**2:
        raise GtpError("bad vertex list")
    return cell


def vertices(server: GtpServer, cells: list[int]) -> str:
    """Name cells."""
    return " ".join(cell_name(cell, server.board.size, server.board.size) for cell in cells)


def time_settings(server: GtpServer, command: Command) -> str:
    """Main time, time and stones of a byo-yomi period, in seconds."""
    main, period, stones = (integer(word, 0, 2**31) for word in wanted(command, 3))
    server.clock.set(main, period, stones)
    return ""


def time_left(server: GtpServer, command: Command) -> str:
    """What a colour has on its clock; by KGS's byo-yomi, periods left in place of stones."""
    who, seconds, stones = wanted(command, 3)
    server.clock.left[colour(who)] = (number(seconds, -(2.0**31)), integer(stones, 0, 10**6))
    return ""


def dead_stones(server: GtpServer) -> set[int]:
    """Cells of stones that count as dead: none where the rules say that all are alive."""
    board = server.board
    return dead_cells(board.session.state) if RULESETS[board.options.rules].dead_stones else set()


def final_score(server: GtpServer, command: Command) -> str:
    """The result by area, dead stones taken off where the rules allow that there are any."""
    margin = area_margin(server.board.session.state, dead_stones(server))
    return "0" if margin == 0 else f"{'B' if margin > 0 else 'W'}+{abs(margin):g}"


def final_status_list(server: GtpServer, command: Command) -> str:
    """The stones that are alive, in seki or dead, one chain a line."""
    (status,) = wanted(command, 1)
    if status not in ("alive", "dead", "seki", "white_territory", "black_territory"):
        raise GtpError("invalid status")
    if status == "seki":
        return ""
    board = server.board
    dead = dead_stones(server)
    if status.endswith("territory"):
        owners = board.owners(dead).ravel()
        mine = owners == (1 if status.startswith("black") else 2)
        return vertices(server, [int(c) for c in np.flatnonzero(mine & (board.bare(dead) == 0))])
    state = board.session.state
    wanted_chains = [c for c in chains(state) if (c[0] in dead) == (status == "dead")]
    return "\n".join(vertices(server, chain) for chain in wanted_chains)


def showboard(server: GtpServer, command: Command) -> str:
    """The board as text."""
    return "\n" + board_text(server.board.session)


STANDARD: dict[str, Handler] = {
    "protocol_version": lambda server, command: "2",
    "name": lambda server, command: "Tengen",
    "version": lambda server, command: f"{VERSION} ({server.player.name})",
    "list_commands": list_commands,
    "known_command": known_command,
    "quit": quit_engine,
    "boardsize": boardsize,
    "rectangular_boardsize": rectangular_boardsize,
    "clear_board": clear_board,
    "komi": komi,
    "play": play,
    "genmove": genmove,
    "reg_genmove": reg_genmove,
    "undo": undo,
    "fixed_handicap": fixed_handicap,
    "set_free_handicap": set_free_handicap,
    "place_free_handicap": place_free_handicap,
    "time_settings": time_settings,
    "time_left": time_left,
    "final_score": final_score,
    "final_status_list": final_status_list,
    "showboard": showboard,
}
