"""`tengen gtp`: a Go engine for graphical clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from commands.options import parse_overrides
from core.config import free


@dataclass(frozen=True)
class GtpOptions:
    """Serve Go Text Protocol 2 on standard input and output; messages go to standard error."""

    agent: str = "shipped"
    """Who plays: easy, medium or strong, shipped, the folder of a run of zero, alphago:FOLDER, uct,
    random; shipped:800 and uct:20000 set simulations a move, shipped:5s and uct:5s seconds."""
    ponder: bool = False
    """Think in the opponent's time too; of use to trained players, which keep their tree."""
    seed: int = free(0, at_least=0, under=2**63)


def main(argv: Sequence[str]) -> int:
    """Serve until quit or the end of the input; return the exit code."""
    from envs.games.options import GoOptions

    board, options = parse_overrides(GoOptions(), GtpOptions(), argv, prog="tengen gtp")
    from envs.games.registry import load_game
    from play.gtp.analysis import STREAMING
    from play.gtp.extras import COMMANDS
    from play.gtp.server import GtpServer
    from play.lines import standard_input, standard_output
    from play.players import make_player

    load_game("go")  # says when it has to be compiled
    player = make_player(options.agent, options.seed)
    source, sink = standard_input(), standard_output()
    try:
        GtpServer(player, board, COMMANDS, STREAMING, source, sink, ponder=options.ponder).run()
    finally:
        player.close()
    return 0
