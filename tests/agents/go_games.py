"""Games of Go by a fixed rule, as SGF, for tests of what learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.session import Session
from envs.games.sgf.record import GameRecord, write_records


def game_by_rule(size: int, seed: int, opening: int = 4, length: int = 16) -> GameRecord:
    """A random opening, then always the first legal point, row by row."""
    random = np.random.default_rng(seed)
    session = Session(GO, GoOptions(size=size, rules="chinese"))
    for number in range(length):
        legal = np.flatnonzero(session.legal_mask()[:-1])
        session.play(int(random.choice(legal) if number < opening else legal[0]))
    moves = tuple((player + 1, cell) for player, cell in session.actions)
    return GameRecord(size=size, komi=7.0, result="B+1" if seed % 2 else "W+R", moves=moves)


def write_games(path: Path, size: int, count: int) -> Path:
    """A file of so many games."""
    write_records(path, [game_by_rule(size, seed) for seed in range(count)])
    return path
