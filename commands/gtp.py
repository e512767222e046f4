"""`tengen gtp`: a Go engine for graphical clients."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from commands.options import parse_overrides


@dataclass(frozen=True)
class GtpOptions:
    """Serve Go Text Protocol 2 on standard input and output; messages go to standard error."""

    agent: str = "uct"
    """Who plays: uct (uct:20000 playouts a move, uct:5s seconds), random."""
    seed: int = 0


def main(argv: Sequence[str]) -> int:
    """Serve until quit or the end of the input; return the exit code."""
    from envs.games.options import GoOptions

    board, options = parse_overrides(GoOptions(), GtpOptions(), argv, prog="tengen gtp")
    from envs.games.registry import load_game
    from play.gtp.analysis import STREAMING
    from play.gtp.extras import COMMANDS
    from play.gtp.server import GtpServer
    from play.players import make_player

    load_game("go")  # says when it has to be compiled
    player = make_player(options.agent, options.seed)
    try:
        GtpServer(player, board, COMMANDS, STREAMING, sys.stdin, sys.stdout).run()
    finally:
        player.close()
    return 0
