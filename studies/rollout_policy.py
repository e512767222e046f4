"""Learn a rollout policy of Go from records of games, and say how well it foretells held-out ones.

    python -m studies.rollout_policy GAMES.sgf MORE/ --out runs/studies/rollout/weights.safetensors

`tengen match go --first uct:1000,playouts=patterns` plays with weights so learned, those in
`pretrained/go-rollout/`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.alphago.rollout_learning import Counts, Learning, RolloutLearner, gather, split
from commands.options import parse_program, positional
from core.files.atomic import replace_file
from core.files.tensor_file import chunks
from envs.games.sgf.record import GameRecord, read_records
from envs.games.sgf.tree import Limits, SgfError

_LIMITS = Limits(games=1_000_000, bytes=1 << 30, nodes=100_000_000)


@dataclass(frozen=True)
class Options:
    """Maximum likelihood of the moves of games."""

    games: tuple[str, ...] = positional(())
    """SGF files, or folders of them."""
    size: int = 9
    """Only games on boards of so many lines."""
    held_out: float = 0.1
    """Share of the games that only test."""
    learning: Learning = field(default_factory=Learning)
    out: str = "runs/studies/rollout/weights.safetensors"
    """Where the weights go, as half-precision numbers."""


def main(argv: Sequence[str] | None = None) -> None:
    """Read, learn, test, write."""
    options = parse_program(Options, "python -m studies.rollout_policy", argv)
    games = gather(read_all([Path(name) for name in options.games]), options.size)
    seen, held_out = split(games, options.held_out, options.learning.seed)
    print(f"{len(seen)} games to learn from, {len(held_out)} held out")
    learner = RolloutLearner(options.size)
    began = time.monotonic()
    for epoch, counts in enumerate(learner.learn(games, seen, options.learning), 1):
        print(f"epoch {epoch}: {_line(counts)}; {time.monotonic() - began:.1f} s")
    learner.weights[:] = learner.weights.astype(np.float16)
    print(f"held out: {_line(learner.test(games, held_out))}")
    uniform = RolloutLearner(options.size)
    print(f"held out, all moves alike: {_line(uniform.test(games, held_out))}")
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, chunks({"weights": learner.weights.astype(np.float16)}))


def read_all(paths: Sequence[Path]) -> list[GameRecord]:
    """All games of the files and folders; a file that cannot be read is named and left out."""
    records = []
    files = [
        f for path in paths for f in (sorted(path.rglob("*.sgf")) if path.is_dir() else [path])
    ]
    for file in files:
        try:
            records += read_records(file, _LIMITS)
        except SgfError as error:
            print(f"left out: {error}", file=sys.stderr)
    if not records:
        where = ", ".join(map(str, paths))
        problem = f"no games in {where}" if where else "name files of games, or folders of them"
        raise SystemExit(f"error: {problem}")
    return records


def _line(counts: Counts) -> str:
    return (
        f"{counts.accuracy:.1%} of {counts.moves + counts.other_moves:,} moves foretold, "
        f"{counts.log_loss:.3f} nats a move"
    )


if __name__ == "__main__":
    main()
