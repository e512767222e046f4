"""Analysis for graphical clients: lines as Leela Zero and KataGo write them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.machine.random_numbers import random_state
from envs.games.go.estimate import estimate_ownership
from play.gtp.protocol import SYNTAX, Command, GtpError, colour, integer
from play.gtp.server import FOREVER, GtpServer, Handler
from play.gtp.standard import think
from search.player import RESIGN, Judgement, Limits

_DEFAULT_INTERVAL = 0.5
_OWNERSHIP_PLAYOUTS = 300


@dataclass
class Request:
    """What a client asks an analysis to show."""

    player: int
    interval: float = _DEFAULT_INTERVAL
    """Seconds between lines."""
    max_moves: int = 361
    min_moves: int = 0
    ownership: bool = False
    root_info: bool = False


def read_request(server: GtpServer, command: Command) -> Request:
    """Read `[colour] [interval in hundredths] {key value}`; unknown keys are passed over."""
    words = list(command.arguments)
    request = Request(server.board.session.to_move)
    if words and words[0].lower() in ("b", "w", "black", "white"):
        request.player = colour(words.pop(0))
    if words and words[0].isdecimal():
        request.interval = integer(words.pop(0), 0, 10**6) / 100
    while words:
        key = words.pop(0)
        if key in ("avoid", "allow"):
            # Colour, vertices and a number of moves; every move stays considered.
            del words[:3]
            continue
        if not words:
            raise GtpError(SYNTAX)
        value = words.pop(0)
        if key == "interval":
            request.interval = integer(value, 0, 10**6) / 100
        elif key == "maxmoves":
            request.max_moves = integer(value, 0, 10**6)
        elif key == "minmoves":
            request.min_moves = integer(value, 0, 10**6)
        elif key == "ownership":
            request.ownership = value.lower() == "true"
        elif key == "rootInfo":
            request.root_info = value.lower() == "true"
    request.interval = max(request.interval, 0.05)
    return request


Style = Callable[[float], str]
"""How a share of 0 to 1 is written."""


def lz_share(value: float) -> str:
    """Leela Zero: ten-thousandths, a whole number."""
    return str(round(10_000 * value))


def kata_share(value: float) -> str:
    """KataGo and Sabaki: a fraction that keeps its decimal point."""
    return f"{value:.6f}"


def info_line(server: GtpServer, judgement: Judgement, request: Request, style: Style) -> str:
    """One line: every move that was tried, the most visited first."""
    session = server.board.session
    order = np.argsort(-judgement.visits, kind="stable")
    tried = [int(a) for a in order if judgement.visits[a] > 0][: max(1, request.max_moves)]
    total = max(1, int(judgement.visits.sum()))
    parts = []
    for rank, action in enumerate(tried):
        visits = int(judgement.visits[action])
        rate = (judgement.values[action] + 1) / 2
        lower = max(0.0, rate - 2 * np.sqrt(max(rate * (1 - rate), 0.01) / visits))
        prior = visits / total if judgement.priors is None else judgement.priors[action]
        line = judgement.variation if action == judgement.action else (action,)
        variation = " ".join(session.name_of(a) for a in line)
        parts.append(
            f"info move {session.name_of(action)} visits {visits} winrate {style(rate)} "
            f"prior {style(prior)} lcb {style(lower)} order {rank} pv {variation}"
        )
    if request.root_info:
        best = judgement.win_rate
        parts.append(f"rootInfo visits {total} winrate {style(best)}")
    if request.ownership:
        owners = _ownership(server, request, judgement)
        parts.append("ownership " + " ".join(f"{v:.3f}" for v in owners))
    return " ".join(parts)


def _ownership(server: GtpServer, request: Request, judgement: Judgement) -> np.ndarray:
    """Expected owner of each cell, 1 the side that is asked about, float64 [H * W]."""
    if judgement.ownership is not None:
        return judgement.ownership()
    means = np.zeros(server.board.size**2)
    state = server.board.session.state
    estimate_ownership(state, random_state(0)[0], _OWNERSHIP_PLAYOUTS, means)
    return means if request.player == 0 else -means


def analyse(style: Style) -> Handler:
    """Make a command that shows the search until the client sends anything."""

    def handler(server: GtpServer, command: Command) -> str:
        request = read_request(server, command)
        session = server.board.turned_to(request.player)
        server.write(f"={command.id}\n")
        shown = time.monotonic()

        def watch(judgement: Judgement) -> bool:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= request.interval:
                shown = now
                server.write(info_line(server, judgement, request, style) + "\n")
            return not (server.input_waits or server.stop)

        judgement = server.player.judge(session, Limits(seconds=FOREVER), watch)
        server.write(info_line(server, judgement, request, style) + "\n")
        server.wait_for_input()
        server.write("\n")
        return ""

    return handler


def genmove_analyse(style: Style) -> Handler:
    """Make a command that chooses a move, plays it and tells what it thought."""

    def handler(server: GtpServer, command: Command) -> str:
        request = read_request(server, command)
        judgement = think(server, request.player)
        if judgement.action == RESIGN:
            return "\nplay resign"
        line = info_line(server, judgement, request, style)
        name = server.board.session.name_of(judgement.action)
        server.board.play_action(request.player, judgement.action)
        return f"\n{line}\nplay {name}"

    return handler


ANALYSIS: dict[str, Handler] = {
    "analyze": analyse(kata_share),
    "genmove_analyze": genmove_analyse(kata_share),
    "lz-analyze": analyse(lz_share),
    "lz-genmove_analyze": genmove_analyse(lz_share),
    "kata-analyze": analyse(kata_share),
    "kata-genmove_analyze": genmove_analyse(kata_share),
}
STREAMING = frozenset(("analyze", "lz-analyze", "kata-analyze"))
"""Commands that write their own answer as they go."""
