"""AlphaGo's data: input planes per second, and positions read per second from a compiled set.

The positions are of the given games, else of random ones in which no own eye is filled. Seconds are
of processor time: there is one thread, and machines are shared.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import in_own_process, parse_options, report, run_rounds
from core.config import free

BATCH = 256


@dataclass(frozen=True)
class Options:
    """Planes and positions per second, on one thread."""

    data: str = ""
    """SGF file or folder of games on 9x9; '' for random games."""
    seconds: float = free(5.0, over=0)
    """Measured per contender and round."""
    rounds: int = free(5, at_least=1)
    """How often each is measured."""
    out: str = "runs/benchmarks/alphago.json"
    """Where the results go."""


def main() -> None:
    """Measure, print and write."""
    options = parse_options(Options)
    limit = 240 + 20 * options.seconds

    def own(work: Callable[..., float], *arguments: Any) -> Callable[[], float]:
        return partial(in_own_process, work, options.seconds, *arguments, limit_seconds=limit)

    yardstick = "9x9 planes, ladders included"
    contenders = {
        yardstick: own(measure_planes, 9, options.data),
        "9x9 positions read": own(measure_reading, 9, options.data),
        "19x19 planes of random games": own(measure_planes, 19, ""),
        "19x19 positions of random games read": own(measure_reading, 19, ""),
    }
    results, skipped = run_rounds(contenders, options.rounds)
    title = f"AlphaGo's data, 1 thread, {options.data or 'random games'}"
    report(title, "positions/s", results, skipped, yardstick, options.out)


def measure_planes(seconds: float, size: int, data: str) -> float:
    """Positions per second whose 48 planes are written."""
    from agents.alphago.positions import observe_all
    from envs.games.go.ladders import ladder_boards

    positions, numbers = _positions(size, data)
    states = positions.read(numbers[:4_096]).states
    boards, planes = ladder_boards(size), np.empty((BATCH, 48, size, size), np.uint8)
    observe_all(states[:BATCH], boards, planes)
    count, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        batch = states[count % len(states) :][:BATCH]
        observe_all(batch, boards, planes)
        count += len(batch)
    return count / (time.process_time() - began)


def measure_reading(seconds: float, size: int, data: str) -> float:
    """Samples per second with history, next move and result, drawn at random."""
    positions, numbers = _positions(size, data)
    positions.read(numbers[:BATCH])
    count, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        positions.read(numbers[count % len(numbers) :][:BATCH])
        count += len(numbers[count % len(numbers) :][:BATCH])
    return count / (time.process_time() - began)


def _positions(size: int, data: str) -> tuple[Any, np.ndarray]:
    """A compiled set, and the numbers of its training samples in random order."""
    from agents.alphago.collection import Filters
    from agents.alphago.positions import TRAINING, compiled

    with tempfile.TemporaryDirectory() as folder:
        path = Path(data) if data else _random_games(Path(folder) / "random.sgf", size)
        positions = compiled(path, Filters(size), lambda text: None)
    return positions, np.random.default_rng(0).permutation(positions.samples(TRAINING))


def _random_games(path: Path, size: int) -> Path:
    """Write games that end after three moves for each two points."""
    from envs.games.go.alphago_planes import is_own_eye
    from envs.games.go.board import point_of
    from envs.games.go.game import GO
    from envs.games.options import GoOptions
    from envs.games.session import Session
    from envs.games.sgf.record import GameRecord, write_records

    random, records = np.random.default_rng(0), []
    for _ in range(200 if size < 13 else 40):
        session = Session(GO, GoOptions(size=size, rules="chinese"))
        for _ in range(size * size * 3 // 2):
            sensible = [
                int(cell)
                for cell in np.flatnonzero(session.legal_mask()[:-1])
                if not is_own_eye(session.state, point_of(size, int(cell)), session.to_move + 1)
            ]
            if not sensible:
                break
            session.play(int(random.choice(sensible)))
        moves = tuple((player + 1, cell) for player, cell in session.actions)
        records.append(GameRecord(size=size, moves=moves))
    write_records(path, records)
    return path


if __name__ == "__main__":
    main()
