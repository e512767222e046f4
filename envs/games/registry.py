"""The games by name. A game is loaded when it is asked for: this imports no numba."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import UserError, did_you_mean
from envs.games import options as o

if TYPE_CHECKING:
    from envs.games.game import Game


@dataclass(frozen=True)
class GameEntry:
    """Where a game is, and what may be chosen about it."""

    title: str
    where: str
    options: type[Any]


GAMES: dict[str, GameEntry] = {
    "go": GameEntry("Go", "envs.games.go.game:GO", o.GoOptions),
    "othello": GameEntry("Othello", "envs.games.othello:OTHELLO", o.OthelloOptions),
    "gomoku": GameEntry("Gomoku", "envs.games.gomoku:GOMOKU", o.GomokuOptions),
    "connect-four": GameEntry(
        "Connect Four", "envs.games.connect_four:CONNECT_FOUR", o.ConnectFourOptions
    ),
    "tic-tac-toe": GameEntry(
        "Tic-tac-toe", "envs.games.tic_tac_toe:TIC_TAC_TOE", o.TicTacToeOptions
    ),
}
_SIZED = re.compile(r"(.+?)[-/]?(\d+)(?:x\2)?")


def find_game(name: str) -> tuple[GameEntry, dict[str, Any]]:
    """Look a game up by name; `go9`, `go-9x9` and `gomoku-15` also say the size.

    Raises:
        UserError: there is no such game.
    """
    if name in GAMES:
        return GAMES[name], {}
    sized = _SIZED.fullmatch(name)
    if sized and sized[1] in GAMES:
        entry = GAMES[sized[1]]
        if "size" in entry.options.__dataclass_fields__:
            return entry, {"size": int(sized[2])}
    raise UserError(
        f"there is no game {name!r}{did_you_mean(name, GAMES)} (known: {', '.join(GAMES)})"
    )


def load_game(name: str) -> Game:
    """Import a game's rules; says on stderr when they are about to be compiled.

    Raises:
        UserError: there is no such game.
    """
    entry, _ = find_game(name)
    module, _, attribute = entry.where.partition(":")
    game: Game = getattr(importlib.import_module(module), attribute)
    from core.kernels import announce_compilation

    file = game.new.__module__.rpartition(".")[2]
    announce_compilation(f"the rules of {entry.title}", f"{file}.{game.new.__name__}")
    return game
