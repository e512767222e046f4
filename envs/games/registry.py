"""The games by name. A game is loaded when it is asked for: this imports no numba."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from envs.games.game import Game


@dataclass(frozen=True)
class GameEntry:
    """Where a game is, and what may be chosen about it."""

    title: str
    where: str
    """'module:NAME' of the game."""
    options_class: str
    """'module:Name' of a dataclass. In a module without numba, `--help` is quick."""

    @property
    def options(self) -> type[Any]:
        """What may be chosen. Raises UserError where the entry is wrong."""
        found: type[Any] = _load(self.options_class, self.title)
        return found

    @property
    def summary(self) -> str:
        """The title, with the rules that are played where nothing else is said."""
        try:
            rules = self.options.__dataclass_fields__.get("rules")
        except UserError:
            return f"{self.title} (its entry is wrong)"
        return self.title if rules is None else f"{self.title}, rules {rules.default}"


_OPTIONS = "envs.games.options"
GAMES: dict[str, GameEntry] = {
    "go": GameEntry("Go", "envs.games.go.game:GO", f"{_OPTIONS}:GoOptions"),
    "othello": GameEntry("Othello", "envs.games.othello:OTHELLO", f"{_OPTIONS}:OthelloOptions"),
    "gomoku": GameEntry("Gomoku", "envs.games.gomoku:GOMOKU", f"{_OPTIONS}:GomokuOptions"),
    "connect-four": GameEntry(
        "Connect Four", "envs.games.connect_four:CONNECT_FOUR", f"{_OPTIONS}:ConnectFourOptions"
    ),
    "tic-tac-toe": GameEntry(
        "Tic-tac-toe", "envs.games.tic_tac_toe:TIC_TAC_TOE", f"{_OPTIONS}:TicTacToeOptions"
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
        UserError: there is no such game, or its entry is wrong.
    """
    entry, _ = find_game(name)
    game: Game = _load(entry.where, entry.title)
    from core.machine.kernels import announce_compilation

    file = game.new.__module__.rpartition(".")[2]
    announce_compilation(f"the rules of {entry.title}", f"{file}.{game.new.__name__}")
    return game


def _load(where: str, title: str) -> Any:
    """The object at 'module:NAME'."""
    module, _, name = where.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise UserError(
            f"the entry of {title} in envs/games/registry.py names {where!r}, which cannot be "
            f"loaded: {error}"
        ) from error
