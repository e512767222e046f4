"""Games between strengths of one engine, written as SGF: a collection for who has none."""

from __future__ import annotations

import contextlib
import queue
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.errors import UserError
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.session import Session
from play.engine import words_of
from play.engine_player import EnginePlayer
from play.match import GameResult, open_randomly, play_game
from play.records import write_session

USUAL_FOLDERS = "/usr/games:/usr/local/games"
"""Where Debian puts game programs, which not every PATH has."""
MOST_FAULTS = 3


class Generator:
    """Plays numbered games; each depends on the seed, its number and the engine alone."""

    def __init__(
        self,
        engine: str,
        levels: Sequence[int],
        options: GoOptions,
        opening_moves: int,
        seed: int,
    ) -> None:
        """Args:
        engine: command with {level} where the level stands.
        levels: that players are drawn from.
        options: board, komi and rules.
        opening_moves: a game begins with up to so many random moves.
        seed: of levels and openings.
        """
        self.levels, self.options = list(levels), options
        self.opening_moves, self.seed = opening_moves, seed
        self.commands = {level: engine_command(engine, level) for level in self.levels}

    def play(self, number: int, players: dict[tuple[int, int], EnginePlayer]) -> GameResult:
        """Play a game; `players`, by colour and level, are started where they are missing."""
        random = np.random.default_rng((self.seed, number))
        levels = [int(level) for level in random.choice(self.levels, 2)]
        sides = []
        for side in enumerate(levels):
            if side not in players:
                players[side] = EnginePlayer(self.commands[side[1]])
            players[side].new_game(number)
            sides.append(players[side])
        session = Session(GO, self.options)
        open_randomly(session, random, int(random.integers(self.opening_moves + 1)))
        result = play_game(sides[0], sides[1], session)
        names = [
            f"{player.name} level {level}" for player, level in zip(sides, levels, strict=True)
        ]
        return replace(result, first=names[0], second=names[1])


def engine_command(template: str, level: int) -> list[str]:
    """The words of an engine's command.

    Raises:
        UserError: the level has no place in it, or there is no such program.
    """
    if "{level}" not in template:
        raise UserError(f"--engine must say where the level goes: {{level}}; got {template!r}")
    words = words_of(template.replace("{level}", str(level)))
    program = shutil.which(words[0]) or shutil.which(words[0], path=USUAL_FOLDERS)
    if program is None:
        raise UserError(
            f"there is no program {words[0]!r}; install GNU Go (apt install gnugo), or name "
            f"another GTP engine with --engine"
        )
    return [program, *words[1:]]


def generate(
    generator: Generator, folder: Path, games: int, parallel: int
) -> Iterator[tuple[int, GameResult | None]]:
    """Play and write the games that are not in the folder yet; yield their numbers and results,
    None for those that were there.

    Raises:
        UserError: the folder cannot be written, or engines fail again and again.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}") from error
    free: queue.SimpleQueue[dict[tuple[int, int], EnginePlayer]] = queue.SimpleQueue()
    teams: list[dict[tuple[int, int], EnginePlayer]] = [{} for _ in range(parallel)]
    for team in teams:
        free.put(team)

    def play(number: int) -> tuple[int, GameResult | None]:
        path = folder / f"game-{number:06d}.sgf"
        if path.exists():
            return number, None
        team = free.get()
        try:
            result = generator.play(number, team)
            if result.fault:
                _close(team)
            elif not result.void:
                write_session(
                    path, result.session, result.how, result.first, result.second, result.note
                )
            return number, result
        finally:
            free.put(team)

    pool, faults = ThreadPoolExecutor(parallel), 0
    try:
        for number, result in pool.map(play, range(1, games + 1)):
            faults = faults + 1 if result is not None and result.fault else 0
            if result is not None and faults >= MOST_FAULTS:
                raise UserError(f"{faults} games in a row failed; the last: {result.note}")
            yield number, result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for team in teams:
            _close(team)


def _close(team: dict[tuple[int, int], EnginePlayer]) -> None:
    """End a team's engines; new ones are started when they are needed."""
    for side in list(team):
        with contextlib.suppress(UserError):
            team.pop(side).close()
