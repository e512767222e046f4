"""Players by name: `uct`, `uct:20000`, `uct:5s`, `random`, `gtp:COMMAND`."""

from __future__ import annotations

import re

from core.errors import UserError, did_you_mean
from search.player import Player

KNOWN = {
    "uct": "tree search with random playouts; uct:20000 sets playouts a move, uct:5s seconds",
    "random": "any legal move",
    "gtp:COMMAND": "a Go engine of yours, such as 'gtp:gnugo --mode gtp'",
}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)(s?)")


def make_player(name: str, seed: int = 0, threads: int = 0) -> Player:
    """Make a player from its name.

    Raises:
        UserError: there is no such player, or its engine cannot be started.
    """
    kind, _, rest = name.partition(":")
    if kind == "gtp" and rest.strip():
        from play.engine_player import EnginePlayer

        return EnginePlayer(rest)
    if kind == "random" and not rest:
        from search.player import RandomPlayer

        return RandomPlayer(seed)
    if kind == "uct":
        return _make_uct(rest, seed, threads)
    raise UserError(
        f"there is no player {name!r}{did_you_mean(name, KNOWN)} (known: {', '.join(KNOWN)})"
    )


def _make_uct(amount: str, seed: int, threads: int) -> Player:
    """`20000` is playouts a move, `5s` seconds, nothing the default."""
    from search.uct import UctOptions, UctPlayer

    if not amount:
        return UctPlayer(UctOptions(seed=seed, threads=threads))
    match = _AMOUNT.fullmatch(amount)
    if not match or float(match[1]) <= 0 or (not match[2] and "." in match[1]):
        raise UserError(f"uct:{amount} is no amount; write uct:20000 for playouts or uct:5s")
    if match[2]:
        return UctPlayer(UctOptions(seconds=float(match[1]), seed=seed, threads=threads))
    return UctPlayer(UctOptions(playouts=int(match[1]), seed=seed, threads=threads))
