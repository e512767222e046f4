"""`tengen play`: a board game in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from commands.options import HELP, parse_overrides, print_tables
from core.config import free
from core.errors import UserError

if TYPE_CHECKING:
    from envs.games.session import Session
    from search.player import Player


@dataclass(frozen=True)
class PlayOptions:
    """Play a board game in the terminal against an agent, an engine or a friend."""

    agent: str = ""
    """Who plays against you: easy, medium or strong (Go on 9x9), shipped (the trained player that
    comes with tengen), the folder of a run of zero, alphago:FOLDER, uct, random, gtp:COMMAND or
    human; shipped:800 and uct:20000 set simulations a move, shipped:5s and uct:5s seconds.
    Nothing: what comes with tengen for Go on 5x5, 7x7 and 9x9, else uct."""
    side: Literal["first", "second"] = "first"
    """Your side; the first player is Black in Go."""
    save: str = ""
    """Write the record of a game of Go to this SGF file at the end."""
    seed: int = free(0, at_least=0, under=2**63)
    """Seed of the opponent."""


def main(argv: Sequence[str]) -> int:
    """Play one game; return the exit code."""
    from envs.games.registry import GAMES, find_game

    if not argv or argv[0] in HELP:
        rows = {name: entry.summary for name, entry in GAMES.items()}
        print_tables({"games": rows}, "tengen play GAME [options]")
        sys.stdout.write("\ntengen play GAME --help lists its options. Try: tengen play go\n")
        return 0
    entry, named = find_game(argv[0])
    game_options, options = parse_overrides(
        entry.options(**named), PlayOptions(), argv[1:], prog=f"tengen play {argv[0]}"
    )
    _play(argv[0], game_options, options)
    return 0


def _play(name: str, game_options: Any, options: PlayOptions) -> None:
    from envs.games.registry import load_game
    from envs.games.session import Session
    from play.players import default_player, make_player
    from play.terminal import TerminalGame

    if options.save and not name.startswith("go"):
        raise UserError("--save writes SGF, which is for Go")
    game = load_game(name)
    opponent: Player | None = None
    if options.agent != "human":
        agent = options.agent or default_player(game.name, game_options)
        opponent = make_player(agent, options.seed)
        opponent.check(game, game_options)
    session = Session(game, game_options)
    human = 0 if options.side == "first" else 1
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    names = ["human", "human"]
    if opponent is not None:
        names[1 - human] = opponent.name
    table = TerminalGame(session, opponent, human, sys.stdin, sys.stdout, colour)
    if name.startswith("go"):
        table.save = lambda s, result, path: _save(s, result, path, names)
    try:
        table.run()
    finally:
        if opponent is not None:
            opponent.close()
        if options.save:
            _save(session, table.result(), Path(options.save), names)


def _save(session: Session, result: str, path: Path, names: Sequence[str]) -> None:
    from play.records import write_session

    write_session(path, session, result, names[0], names[1])
