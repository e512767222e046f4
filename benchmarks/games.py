"""Games as compiled rules: playouts of Go per second, and moves through PettingZoo's interface.

A playout is uniform random play from the empty board to the end by simple ko, own eyes left alone,
scored. A game by exact rules is uniform over the legal moves with superko, the whole mask made at
every move. Planes are what a network is shown of a position. The yardstick of the interface is
PettingZoo's own go_v5, driven by the same random player: both bare, and both in the three wrappers
that go_v5 comes in.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import SkippedError, in_own_process, parse_options, report, run_rounds
from core.config import free


@dataclass(frozen=True)
class Options:
    """Playouts and moves per second."""

    seconds: float = free(5.0, over=0)
    """Measured per contender and round."""
    rounds: int = free(5, at_least=1)
    """How often each is measured."""
    out: str = "runs/benchmarks/games.json"
    """Where the results go."""


def main() -> None:
    """Measure, print and write."""
    options = parse_options(Options)
    limit = 180 + 4 * options.seconds

    def own(work: Callable[..., float], *arguments: Any) -> Callable[[], float]:
        return partial(in_own_process, work, options.seconds, *arguments, limit_seconds=limit)

    one = "9x9 playouts, 1 thread"
    playouts = {
        one: own(measure_playouts, 9, 1),
        "9x9 playouts, 2 threads": own(measure_playouts, 9, 2),
        "19x19 playouts, 1 thread": own(measure_playouts, 19, 1),
    }
    results, skipped = run_rounds(playouts, options.rounds)
    report("uniform random playouts of Go", "playouts/s", results, skipped, one, options.out)

    exact = "9x9, 1 thread"
    results, skipped = run_rounds({exact: own(measure_exact, 9)}, options.rounds)
    out = options.out.replace(".json", "-exact.json")
    report("random games by exact rules, masks made", "moves/s", results, skipped, exact, out)

    planes = "9x9, 1 thread"
    sizes = {planes: own(measure_planes, 9), "19x19, 1 thread": own(measure_planes, 19)}
    results, skipped = run_rounds(sizes, options.rounds)
    out = options.out.replace(".json", "-planes.json")
    report("AlphaGo Zero's planes", "positions/s", results, skipped, planes, out)

    bare, wrapped = "PettingZoo go_v5, bare", "PettingZoo go_v5, wrapped"
    interface = {
        "tengen go, bare": own(measure_pettingzoo, "tengen", False),
        "tengen go, wrapped": own(measure_pettingzoo, "tengen", True),
        bare: own(measure_pettingzoo, "go_v5", False),
        wrapped: own(measure_pettingzoo, "go_v5", True),
    }
    results, skipped = run_rounds(interface, options.rounds)
    for yardstick in (bare, wrapped):
        name = yardstick.rpartition(" ")[2]
        out = options.out.replace(".json", f"-pettingzoo-{name}.json")
        report("9x9 Go through PettingZoo", "moves/s", results, skipped, yardstick, out)

    single = "1 game"
    batches = {f"{n} games": own(measure_batch, n) for n in (16, 256, 1024)}
    results, skipped = run_rounds({single: own(measure_batch, 1), **batches}, options.rounds)
    out = options.out.replace(".json", "-batch.json")
    report("9x9 Go, games side by side, 1 thread", "moves/s", results, skipped, single, out)


def measure_playouts(seconds: float, size: int, threads: int) -> float:
    """Playouts per second of all threads together."""
    from core.machine.random_numbers import random_state
    from envs.games.go.game import GO
    from envs.games.go.playout import playout
    from envs.games.options import GoOptions

    start = GO.initial_state(GoOptions(size=size))
    many = _compile_playouts(playout)
    streams = random_state(1, threads)
    many(start, 1, streams[0])

    def work(stream: np.ndarray) -> int:
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            many(start, 200, stream)
            count += 200
        return count

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        counts = list(pool.map(work, streams))
        return sum(counts) / (time.perf_counter() - began)


def _compile_playouts(playout: Callable[..., None]) -> Callable[..., None]:
    from core.machine.kernels import kernel
    from envs.games.state import copy_state

    @kernel
    def many(start: np.ndarray, count: int, rng: np.ndarray) -> None:
        state, mask = start.copy(), np.empty(0, np.uint8)
        for _ in range(count):
            copy_state(start, state)
            playout(state, rng, mask)

    return many


def measure_exact(seconds: float, size: int) -> float:
    """Moves per second of whole games, uniform over the legal moves with superko."""
    from core.machine.random_numbers import random_state
    from envs.games.go.game import GO
    from envs.games.options import GoOptions

    start = GO.initial_state(GoOptions(size=size, rules="tromp-taylor"))
    many = _compile_exact()
    stream = random_state(1, 1)[0]
    mask = np.zeros(size * size + 1, np.uint8)
    many(GO, start, mask, 1, stream)
    moves, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        moves += many(GO, start, mask, 20, stream)
    return moves / (time.perf_counter() - began)


def _compile_exact() -> Callable[..., int]:
    from core.machine.kernels import kernel
    from envs.games.game import play_uniformly
    from envs.games.state import MOVE_NUMBER, copy_state

    @kernel
    def many(game: Any, start: np.ndarray, mask: np.ndarray, count: int, rng: np.ndarray) -> int:
        state = start.copy()
        moves = 0
        for _ in range(count):
            copy_state(start, state)
            play_uniformly(game, state, rng, mask)
            moves += state[MOVE_NUMBER]
        return moves

    return many  # type: ignore[no-any-return]


def measure_planes(seconds: float, size: int) -> float:
    """Positions per second of random games whose planes are written as bytes."""
    from core.machine.kernels import kernel
    from core.machine.random_numbers import random_state
    from envs.games.game import random_legal_action
    from envs.games.go.game import GO
    from envs.games.options import GoOptions

    @kernel
    def observe_all(game: Any, states: np.ndarray, planes: np.ndarray) -> None:
        for index in range(states.shape[0]):
            game.observe(states[index], planes[index])

    stream, mask = random_state(1, 1)[0], np.zeros(size * size + 1, np.uint8)
    state = GO.initial_state(GoOptions(size=size, rules="tromp-taylor"))
    states = np.empty((60, state.size), np.int32)
    for index in range(len(states)):
        states[index] = state
        GO.legal(state, mask)
        GO.play(state, random_legal_action(mask, stream))
    planes = np.zeros((len(states), GO.planes, size, size), np.uint8)
    observe_all(GO, states, planes)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        observe_all(GO, states, planes)
        count += len(states)
    return count / (time.perf_counter() - began)


def measure_pettingzoo(seconds: float, which: str, wrapped: bool) -> float:
    """Moves per second of whole random games, in go_v5's wrappers or without."""
    from pettingzoo.utils import wrappers

    if which == "tengen":
        from envs.games.aec import board_game

        env = board_game("go", size=9, rules="tromp-taylor")
    else:
        try:
            from pettingzoo.classic import go_v5
        except ImportError as error:
            raise SkippedError(f"needs {error.name}") from None
        env = go_v5.raw_env(board_size=9)
    if wrapped:
        env = wrappers.TerminateIllegalWrapper(env, illegal_reward=-1)
        env = wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(env))
    rng = np.random.default_rng(1)
    _play_once(env, rng)
    moves, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        moves += _play_once(env, rng)
    return moves / (time.perf_counter() - began)


def _play_once(env: Any, rng: np.random.Generator) -> int:
    """Play one random game; return its number of moves."""
    moves = 0
    env.reset()
    for _ in env.agent_iter():
        observation, _, terminated, truncated, _ = env.last()
        if terminated or truncated:
            env.step(None)
            continue
        legal = observation["action_mask"].nonzero()[0]
        env.step(int(legal[int(rng.random() * len(legal))]))
        moves += 1
    return moves


def measure_batch(seconds: float, games: int) -> float:
    """Moves per second of games side by side, observations and legal moves included."""
    from envs.games.batch import GameBatch
    from envs.games.go.game import GO
    from envs.games.options import GoOptions

    batch = GameBatch(GO, GoOptions(size=9), games)
    rng = np.random.default_rng(1)
    step = batch.reset()

    def tick() -> None:
        nonlocal step
        # A random legal action in every game.
        weights = step.legal * rng.random(step.legal.shape)
        step = batch.step(weights.argmax(axis=1))

    tick()
    ticks, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        tick()
        ticks += 1
    return ticks * games / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
