"""`tengen match`: many games between two players."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.options import HELP, parse_overrides, print_tables
from core.config import free
from core.errors import UserError
from core.files.json_files import disk_errors

if TYPE_CHECKING:
    from play.match import GameResult, Score
    from search.player import Player


@dataclass(frozen=True)
class MatchOptions:
    """Games between two players, colours in turn, every opening played twice."""

    first: str = "uct"
    """easy, medium or strong, shipped, the folder of a run of zero, alphago:FOLDER, uct, random,
    gtp:COMMAND; shipped:800 and uct:20000 set simulations a move, shipped:5s and uct:5s seconds."""
    second: str = "random"
    """The other player, named alike."""
    games: int = free(20, at_least=1)
    """Number of games."""
    opening_moves: int = free(2, at_least=0)
    """Random moves that every pair of games begins with."""
    parallel: int = free(1, at_least=1)
    """Games at once."""
    referee: str = "auto"
    """Player who decides where the two differ: which stones are dead under rules that let them, and
    whether a move is legal. auto: GNU Go where it is installed; none: nobody."""
    save: str = ""
    """Folder for the records of games of Go, one SGF file each."""
    seed: int = free(0, at_least=0, under=2**63)
    """Seed of openings and players."""


def main(argv: Sequence[str]) -> int:
    """Play the match; return the exit code."""
    from envs.games.registry import GAMES, find_game

    if not argv or argv[0] in HELP:
        rows = {name: entry.summary for name, entry in GAMES.items()}
        print_tables({"games": rows}, "tengen match GAME [options]")
        return 0
    entry, named = find_game(argv[0])
    game_options, options = parse_overrides(
        entry.options(**named), MatchOptions(), argv[1:], prog=f"tengen match {argv[0]}"
    )
    _run(argv[0], game_options, options)
    return 0


def _run(name: str, game_options: Any, options: MatchOptions) -> None:
    from envs.games.registry import load_game
    from play.match import play_match
    from play.players import default_referee, make_player

    game = load_game(name)
    if options.save and game.name != "go":
        raise UserError("--save writes SGF, which is for Go")
    if options.save:
        with disk_errors("make the folder", Path(options.save)):
            Path(options.save).mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:

        def make(name: str, threads: int = 0) -> Player:
            return stack.enter_context(contextlib.closing(make_player(name, 0, threads)))

        # Games side by side share the cores: a thread for each search.
        threads = 1 if options.parallel > 1 else 0
        pairs = [
            (make(options.first, threads), make(options.second, threads))
            for _ in range(options.parallel)
        ]
        named = options.referee
        if named == "auto":
            named = default_referee(game_options) if game.name == "go" else ""
        referee = make(named) if named not in ("", "none") else None
        for player in {*sum(pairs, ()), *([referee] if referee else [])}:
            player.check(game, game_options)
        began = time.monotonic()
        match = play_match(
            pairs, game, game_options, options.games, options.opening_moves, options.seed, referee
        )
        for result, score in match:
            _report(result, score, options, time.monotonic() - began)


def _report(result: GameResult, score: Score, options: MatchOptions, seconds: float) -> None:
    """Print one game and the score so far; save the record."""
    left = seconds / score.played * (options.games - score.played)
    fault = f"   {result.note}" if result.fault or result.void else ""
    sys.stdout.write(
        f"game {score.played}/{options.games}  {result.first} - {result.second}  {result.how}  "
        f"{len(result.session.actions)} moves   {left / 60:.0f} min left{fault}\n"
    )
    if options.save:
        from play.records import write_session

        file = Path(options.save) / f"game-{score.played:04d}.sgf"
        write_session(file, result.session, result.how, result.first, result.second, result.note)
    if score.played == options.games:
        sys.stdout.write(summary(score, options.first, options.second) + "\n")
    sys.stdout.flush()


def summary(score: Score, first: str, second: str) -> str:
    """The whole match in two lines; one where no game counts."""
    voids = f", {score.voids} void by disagreement on the rules" if score.voids else ""
    faults = f", {score.faults} games ended by a fault{voids}" if score.faults else voids
    if score.games == 0:
        return f"{first} against {second}: no game counts{faults}"
    elo, low, high = score.elo()
    interval = score.interval()
    return (
        f"{first} against {second}: {score.wins} won, {score.draws} drawn, {score.losses} lost "
        f"({score.rate:.0%}, 95% interval {interval[0]:.0%} to {interval[1]:.0%}){faults}\n"
        f"difference {elo:+.0f} Elo ({low:+.0f} to {high:+.0f})"
    )
