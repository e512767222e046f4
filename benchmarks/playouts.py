"""Playouts of Go by patterns beside uniform ones: how many a second.

Both from the empty board, in turn, on one thread. Seconds are those of the processor, so that other
work on the machine counts less.

    python -m benchmarks.playouts
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import parse_options
from core.config import free
from core.machine.kernels import kernel
from core.machine.random_numbers import random_state
from envs.games.go.game import GO
from envs.games.go.playout import playout
from envs.games.go.rollout import Policy, load_policy, pattern_playout
from envs.games.options import GoOptions
from envs.games.state import copy_state


@dataclass(frozen=True)
class Options:
    """Playouts per second."""

    seconds: float = free(2.0, over=0)
    """Measured per kind, size and round."""
    rounds: int = free(5, at_least=1)
    """How often each is measured."""


def main() -> None:
    """Measure and print."""
    options = parse_options(Options)
    policy = load_policy()
    for size in (9, 19):
        speeds: dict[str, list[float]] = {"uniform": [], "patterns": []}
        for _ in range(options.rounds):
            speeds["uniform"].append(_speed(size, options.seconds, _uniform, None))
            speeds["patterns"].append(_speed(size, options.seconds, _by_patterns, policy))
        for kind, values in speeds.items():
            low, high = min(values), max(values)
            print(f"{size}x{size} {kind:9} {median(values):9,.0f}/s ({low:,.0f} to {high:,.0f})")


def _speed(size: int, seconds: float, play: Callable[..., None], policy: Policy | None) -> float:
    """Playouts per second of processor time."""
    start = GO.initial_state(GoOptions(size=size))
    mask, rng = np.zeros(size * size + 1, np.uint8), random_state(1)[0]
    play(start, 1, rng, mask, policy)
    count, began = 0, time.thread_time()
    while time.thread_time() < began + seconds:
        play(start, 100, rng, mask, policy)
        count += 100
    return count / (time.thread_time() - began)


@kernel
def _uniform(
    start: np.ndarray, count: int, rng: np.ndarray, mask: np.ndarray, policy: None
) -> None:
    state = start.copy()
    for _ in range(count):
        copy_state(start, state)
        playout(state, rng, mask)


@kernel
def _by_patterns(
    start: np.ndarray, count: int, rng: np.ndarray, mask: np.ndarray, policy: Policy
) -> None:
    state = start.copy()
    for _ in range(count):
        copy_state(start, state)
        pattern_playout(state, rng, mask, policy)


if __name__ == "__main__":
    main()
