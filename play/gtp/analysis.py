"""Analysis for graphical clients: lines as Leela Zero and KataGo write them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from envs.games.session import Session
from play.candidates import Estimate, candidates, estimate_once
from play.gtp.protocol import SYNTAX, Command, GtpError, colour, integer
from play.gtp.server import FOREVER, GtpServer, Handler
from play.gtp.standard import decide, think
from search.player import RESIGN, Judgement, Limits

_DEFAULT_INTERVAL = 0.5


@dataclass
class Request:
    """What a client asks an analysis to show."""

    player: int
    interval: float = _DEFAULT_INTERVAL
    """Seconds between lines."""
    max_moves: int = 361
    shown: set[str] = field(default_factory=set)
    """Of rootInfo, ownership, ownershipStdev, pvVisits."""
    avoided: frozenset[int] = frozenset()
    """Actions that the player must not choose at its next move."""

    def allowed_at(self, session: Session) -> frozenset[int] | None:
        """The actions that are left, None for all; GtpError if there are none."""
        legal = frozenset(np.flatnonzero(session.legal_mask()).tolist())
        if not self.avoided & legal:
            return None
        if not legal - self.avoided:
            raise GtpError("every legal move is to be avoided")
        return legal - self.avoided


_SWITCHES = ("rootInfo", "ownership", "ownershipStdev", "pvVisits")


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
        if len(words) < (3 if key in ("avoid", "allow") else 1):
            raise GtpError(SYNTAX)
        if key in ("avoid", "allow"):
            _avoid(server, request, key, words[:3])
            del words[:3]
            continue
        value = words.pop(0)
        if key == "interval":
            request.interval = integer(value, 0, 10**6) / 100
        elif key == "maxmoves":
            request.max_moves = integer(value, 0, 10**6)
        elif key == "minmoves":
            integer(value, 0, 10**6)  # every move that was tried is shown
        elif key in _SWITCHES and value.lower() == "true":
            request.shown.add(key)
    request.interval = max(request.interval, 0.05)
    return request


def _avoid(server: GtpServer, request: Request, key: str, words: list[str]) -> None:
    """Read `colour vertex,vertex,... depth`; the depth beyond the next move makes no difference."""
    session = server.board.session
    integer(words[2], 1, 10**6)
    if colour(words[0]) != request.player:
        return
    named = frozenset(session.action_of(vertex) for vertex in words[1].split(","))
    every = frozenset(range(server.board.size**2 + 1))
    request.avoided |= named if key == "avoid" else every - named


Style = Callable[[float], str]
"""How a share of 0 to 1 is written."""


def lz_share(value: float) -> str:
    """Leela Zero: ten-thousandths, a whole number."""
    return str(round(10_000 * value))


def kata_share(value: float) -> str:
    """KataGo and Sabaki: a fraction that keeps its decimal point."""
    return f"{value:.6f}"


def info_line(
    session: Session,
    judgement: Judgement,
    estimate: Estimate,
    request: Request,
    style: Style,
    scores: bool,
) -> str:
    """One line: every move that was tried, the most visited first; `scores` as KataGo has them."""
    parts = []
    for rank, move in enumerate(candidates(judgement, estimate)[: max(1, request.max_moves)]):
        variation = " ".join(session.name_of(action) for action, _ in move.line)
        lower = style(min(max(move.lower, 0.0), 1.0))
        points = _points(move.rate, move.lead) if scores else ""
        parts.append(
            f"info move {session.name_of(move.action)} visits {move.visits} "
            f"winrate {style(move.rate)} {points}prior {style(move.prior)} lcb {lower} "
            f"order {rank} pv {variation}"
        )
        if "pvVisits" in request.shown:
            parts.append("pvVisits " + " ".join(str(visits) for _, visits in move.line))
    if "rootInfo" in request.shown:
        points = _points(judgement.win_rate, estimate.lead) if scores else ""
        total = int(judgement.visits.sum())
        parts.append(
            f"rootInfo visits {total} winrate {style(judgement.win_rate)} {points}".strip()
        )
    for name, values in (("ownership", estimate.owners), ("ownershipStdev", estimate.spreads)):
        if name in request.shown:
            parts.append(f"{name} " + " ".join(f"{value:.3f}" for value in values))
    return " ".join(parts)


def _points(rate: float, lead: float) -> str:
    return (
        f"utility {2 * rate - 1:.6f} scoreMean {lead:.3f} scoreLead {lead:.3f} "
        f"scoreSelfplay {lead:.3f} "
    )


def _writer(
    server: GtpServer, session: Session, request: Request, style: Style, scores: bool
) -> Callable[[Judgement, bool], None]:
    """Writes a line if the interval has passed, or at once."""
    estimate, shown = estimate_once(session), time.monotonic()

    def write(judgement: Judgement, at_once: bool = False) -> None:
        nonlocal shown
        now = time.monotonic()
        if at_once or now - shown >= request.interval:
            shown = now
            line = info_line(session, judgement, estimate(judgement), request, style, scores)
            server.write(line + "\n")

    return write


def analyse(style: Style, scores: bool) -> Handler:
    """Make a command that shows the search until the client sends anything."""

    def handler(server: GtpServer, command: Command) -> str:
        request = read_request(server, command)
        session = server.board.turned_to(request.player)
        limits = Limits(seconds=FOREVER, allowed=request.allowed_at(session))
        write = _writer(server, session, request, style, scores)

        def watch(judgement: Judgement) -> bool:
            write(judgement, False)
            return not (server.input_waits or server.stop)

        # What fails before the search begins is answered as any mistake.
        server.begin_answer()
        write(server.player.judge(session, limits, watch), True)
        server.wait_for_input()
        server.write("\n")
        return ""

    return handler


def genmove_analyse(style: Style, scores: bool, plays: bool = True) -> Handler:
    """Make a command that tells what it thinks while it chooses a move, which it plays."""

    def handler(server: GtpServer, command: Command) -> str:
        request = read_request(server, command)
        session = server.board.turned_to(request.player)
        allowed = request.allowed_at(session)
        write = _writer(server, session, request, style, scores)

        def watch(judgement: Judgement) -> bool:
            write(judgement, False)
            return True

        server.begin_answer()
        choose = decide if plays else think
        judgement = choose(server, request.player, allowed, watch)
        name = "resign"
        if judgement.action != RESIGN:
            write(judgement, True)
            name = session.name_of(judgement.action)
            if plays:
                server.board.play_action(request.player, judgement.action)
        server.write(f"play {name}\n\n")
        return ""

    return handler


ANALYSIS: dict[str, Handler] = {
    "analyze": analyse(kata_share, scores=True),
    "genmove_analyze": genmove_analyse(kata_share, scores=True),
    "lz-analyze": analyse(lz_share, scores=False),
    "lz-genmove_analyze": genmove_analyse(lz_share, scores=False),
    "kata-analyze": analyse(kata_share, scores=True),
    "kata-genmove_analyze": genmove_analyse(kata_share, scores=True),
    "kata-search_analyze": genmove_analyse(kata_share, scores=True, plays=False),
}
STREAMING = frozenset(ANALYSIS)
"""Commands that write their own answer as they go."""
