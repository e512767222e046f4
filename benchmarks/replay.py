"""Microseconds per sampled transition and bytes per stored one: our replay, stable-baselines3's.

Both are filled with the same random play and asked for batches as an update asks: stacked
observations, next observations, actions, rewards.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import in_own_process, parse_options, report, run_rounds
from core.config import free

YARDSTICK = "stable-baselines3 ReplayBuffer"
COLUMN_BYTES = 9
"""Action, reward and flags of one transition."""


@dataclass(frozen=True)
class Options:
    """Speed and size of replay memories, in rounds that alternate between them."""

    seconds: float = free(5.0, over=0)
    """Of drawing batches, per contender and round."""
    rounds: int = free(3, at_least=1)
    """How often each is measured."""
    game: str = "Pong"
    """Atari game."""
    capacity: int = 20_000
    """Transitions stored. stable-baselines3 needs 56 KB for each."""
    lanes: int = 8
    """Games side by side while it is filled."""
    batch_size: int = 32
    """Transitions per batch."""
    out: str = "runs/benchmarks/replay.json"
    """Where the results go."""


def main() -> None:
    """Measure, print and write."""
    options = parse_options(Options)
    sizes: dict[str, float] = {}

    def measure(name: str, work: Callable[..., tuple[float, float]], *arguments: object) -> float:
        seconds, size = in_own_process(
            work, options, *arguments, limit_seconds=600 + 4 * options.seconds
        )
        sizes[name] = size
        return 1e6 * float(seconds)

    contenders = {
        f"tengen, {storage}": partial(measure, f"tengen, {storage}", measure_ours, storage)
        for storage in ("ram", "mmap", "packed")
    }
    contenders[YARDSTICK] = partial(measure, YARDSTICK, measure_sb3)
    results, skipped = run_rounds(contenders, options.rounds)
    report(
        f"replay of {options.capacity:,} transitions of {options.game}, batches of "
        f"{options.batch_size}",
        "us/sample",
        results,
        skipped,
        YARDSTICK,
        options.out,
        {"bytes_per_transition": sizes},
        less_is_better=True,
    )
    print("\nbytes per transition")
    for name, size in sizes.items():
        print(f"  {name}: {size:,.0f}")


def random_play(options: Options) -> Iterator[tuple[Any, np.ndarray, Any]]:
    """Ticks of random play: step, actions, outcome; as many as the memory holds."""
    from envs.atari.protocol import AtariConfig
    from envs.make import make_lanes

    lanes = make_lanes(f"ALE/{options.game}-v5", options.lanes, AtariConfig())
    rng = np.random.default_rng(1)
    step = lanes.reset(1)
    for _ in range(options.capacity // options.lanes):
        actions = rng.integers(0, lanes.num_actions, options.lanes)
        lanes.send(actions)
        outcome = lanes.receive()
        yield step, actions, outcome
        step = outcome
    lanes.close()


def measure_ours(options: Options, storage: str) -> tuple[float, float]:
    """Seconds per sample, and bytes per transition as they lie on disk after a checkpoint."""
    import torch

    from core.replay.ring import FrameReplay, ReplaySpec
    from core.replay.sampling import TransitionSampler

    spec = ReplaySpec(
        capacity=options.capacity,
        lanes=options.lanes,
        frame_shape=(84, 84),
        frame_dtype="uint8",
        stack=4,
        n_step=1,
        storage=storage,
    )
    with tempfile.TemporaryDirectory() as folder:
        replay = FrameReplay(spec, Path(folder))
        for step, actions, outcome in random_play(options):
            replay.append(
                step.observation,
                actions,
                outcome.reward,
                outcome.terminated,
                outcome.truncated,
                outcome.valid,
                step.first,
                outcome.busy,
            )
        rng, sampler = np.random.default_rng(2), TransitionSampler(replay)

        def draw() -> None:
            batch = sampler.sample(rng, options.batch_size, 0.99, True)
            for array in (
                batch.observation,
                batch.next_observation,
                batch.action,
                batch.n_step_return,
                batch.bootstrap_discount,
            ):
                torch.as_tensor(array)

        seconds = _seconds_per_call(draw, options.seconds) / options.batch_size
        replay.checkpoint()
        frames = sum(path.stat().st_blocks * 512 for path in Path(folder).iterdir())
        size = frames / replay.size + COLUMN_BYTES
        replay.close()
    return seconds, size


def measure_sb3(options: Options) -> tuple[float, float]:
    """The same of stable-baselines3's memory, which keeps whole stacks."""
    from gymnasium.spaces import Box, Discrete
    from stable_baselines3.common.buffers import ReplayBuffer

    from core.lanes import FrameStack, ObservationSpec

    memory = ReplayBuffer(
        options.capacity,
        Box(0, 255, (4, 84, 84), np.uint8),
        Discrete(18),
        "cpu",
        n_envs=options.lanes,
        optimize_memory_usage=False,
    )
    frames = FrameStack(ObservationSpec((84, 84), "uint8", 4), options.lanes)
    stacked: np.ndarray | None = None
    for step, actions, outcome in random_play(options):
        stacked = frames.push(step).copy() if stacked is None else stacked
        following = frames.push(outcome).copy()
        memory.add(
            stacked,
            following,
            actions,
            np.sign(outcome.reward),
            outcome.terminated,
            [{} for _ in range(options.lanes)],
        )
        stacked = following
    seconds = _seconds_per_call(lambda: memory.sample(options.batch_size), options.seconds)
    arrays = (
        memory.observations,
        memory.next_observations,
        memory.actions,
        memory.rewards,
        memory.dones,
        memory.timeouts,
    )
    size = sum(array.nbytes for array in arrays) / options.capacity
    return seconds / options.batch_size, size


def _seconds_per_call(work: Callable[[], object], seconds: float) -> float:
    """Median seconds of a call, over so many seconds."""
    for _ in range(20):
        work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
