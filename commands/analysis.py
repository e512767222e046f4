"""`tengen analysis`: KataGo's JSON analysis protocol, for KaTrain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from commands.options import parse_dataclass
from core.config import free


@dataclass(frozen=True)
class AnalysisOptions:
    """Answer KataGo's JSON analysis queries, one a line, on standard input and output."""

    agent: str = "uct"
    """Who analyses: uct (uct:20000 playouts a position, uct:5s seconds), shipped, the folder of a
    run of zero."""
    seed: int = free(0, at_least=0, under=2**63)


def main(argv: Sequence[str]) -> int:
    """Serve until the end of the input; return the exit code."""
    options = parse_dataclass(AnalysisOptions, argv, prog="tengen analysis")
    from envs.games.registry import load_game
    from play.analysis.engine import AnalysisEngine
    from play.lines import standard_input, standard_output
    from play.players import make_player

    load_game("go")  # says when it has to be compiled
    player = make_player(options.agent, options.seed)
    try:
        AnalysisEngine(player, standard_input(), standard_output(), options.seed).run()
    finally:
        player.close()
    return 0
