"""Board games against players by name, for libraries that train one agent in Gymnasium."""

from __future__ import annotations

from typing import Any

from envs.games.registry import find_game, load_game
from envs.games.single import AgainstPlayer, Side
from play.players import make_player


def board_game_against(
    name: str,
    opponent: str = "random",
    side: Side = "random",
    seed: int = 0,
    render_mode: str | None = None,
    **options: Any,
) -> AgainstPlayer:
    """Make a game against a player: random, uct:200, shipped, the folder of a run, gtp:COMMAND.

    Options are the game's own, such as size and komi.

    Raises:
        UserError: there is no such game or player, or the player plays another game.
    """
    entry, named = find_game(name)
    chosen = entry.options(**{**named, **options})
    player = make_player(opponent, seed, threads=1)
    return AgainstPlayer(load_game(name), chosen, player, side, render_mode)
