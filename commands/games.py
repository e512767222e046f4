"""`tengen games go`: games between strengths of a Go engine, as SGF, to learn from."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.options import HELP, parse_overrides, print_tables
from core.config import free
from core.errors import UserError


@dataclass(frozen=True)
class GamesOptions:
    """Games of Go between levels of an engine, an SGF file each. A folder that has some already is
    filled up to --games."""

    out: str = ""
    """Folder for the records."""
    games: int = free(1_000, at_least=1)
    """Games that the folder has in the end."""
    engine: str = "gnugo --mode gtp --chinese-rules --level {level}"
    """Command of a GTP engine, with {level} where the level goes."""
    levels: str = "1,4,7,10"
    """Levels that both players are drawn from."""
    opening_moves: int = free(8, at_least=0)
    """A game begins with up to so many random moves, so that no two are the same."""
    parallel: int = free(1, at_least=1)
    """Games at once."""
    seed: int = free(0, at_least=0, under=2**63)
    """Seed of levels and openings."""


def main(argv: Sequence[str]) -> int:
    """Play the games; return the exit code."""
    from envs.games.options import GoOptions

    if not argv or argv[0] in HELP:
        print_tables({"games": {"go": "Go"}}, "tengen games go --out FOLDER [options]")
        return 0
    if argv[0] != "go":
        raise UserError(f"games are made of go only, not of {argv[0]!r}")
    game_options, options = parse_overrides(
        GoOptions(rules="chinese"), GamesOptions(), argv[1:], prog="tengen games go"
    )
    _run(game_options, options)
    return 0


def _run(game_options: Any, options: GamesOptions) -> None:
    from play.generate import Generator, generate

    if not options.out:
        raise UserError("--out must name the folder for the games")
    if game_options.handicap:
        raise UserError("games are made without handicap stones")
    generator = Generator(
        options.engine,
        _levels(options.levels),
        game_options,
        options.opening_moves,
        options.seed,
    )
    began, played, failed, there = time.monotonic(), 0, 0, 0
    for number, result in generate(generator, Path(options.out), options.games, options.parallel):
        if result is None:
            there += 1
            continue
        played, failed = played + 1, failed + (result.fault or result.void)
        left = (time.monotonic() - began) / played * (options.games - number)
        fault = f"   left out: {result.note}" if result.fault or result.void else ""
        sys.stdout.write(
            f"game {number}/{options.games}  {result.first} - {result.second}  {result.how}  "
            f"{len(result.session.actions)} moves   {left / 60:.0f} min left{fault}\n"
        )
        sys.stdout.flush()
    before = f", {there} were there before" if there else ""
    without = f", {failed} failed and were left out" if failed else ""
    sys.stdout.write(
        f"{options.out} has {there + played - failed} games{before}{without}; learn from them "
        f"with: tengen train go-policy --data {options.out} --size {game_options.size}\n"
    )


def _levels(text: str) -> list[int]:
    """Numbers with commas between them. Raises UserError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() and len(part) < 6 for part in parts):
        raise UserError(f"--levels are whole numbers with commas between them, got {text!r}")
    return [int(part) for part in parts]
