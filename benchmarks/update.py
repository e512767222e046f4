"""Milliseconds of one DQN update: ours in each arithmetic, and as stable-baselines3 makes it.

On a GPU ours is measured twice: recorded, as it is made there, and not.

An update is everything between two of them but the games: drawing 32 transitions, forward passes of
both networks (Nature's, on stacked 84x84 frames), backward pass, Adam.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import in_own_process, parse_options, report, run_rounds
from core.config import RunConfig, free

YARDSTICK = "stable-baselines3 DQN"
UPDATE_EVERY = 4
FILL_STEPS = 2_000


@dataclass(frozen=True)
class Options:
    """Time of one DQN update, in rounds that alternate between the contenders."""

    seconds: float = free(5.0, over=0)
    """Of updates, per contender and round."""
    rounds: int = free(3, at_least=1)
    """How often each is measured."""
    game: str = "Pong"
    """Atari game."""
    threads: int = 0
    """Processor threads; 0 for all cores."""
    group: int = 2
    """Updates made together by ours, as in one tick of 8 lanes; 1 for each alone."""
    device: str = "cpu"
    """Where all are made: cpu, cuda or cuda:N."""
    out: str = "runs/benchmarks/update.json"
    """Where the results go."""

    def validate(self) -> None:
        """Raise UserError for a device that is not here."""
        from core.machine.probe import resolve_device

        resolve_device(self.device)

    @property
    def torch_threads(self) -> int:
        """Threads that all contenders use."""
        return self.threads or len(os.sched_getaffinity(0))


def main() -> None:
    """Measure, print and write."""
    options = parse_options(Options)
    from core.machine.probe import resolve_device

    options = replace(options, device=resolve_device(options.device))
    limit = 300 + 4 * options.seconds

    def own(work: Callable[..., float], *arguments: object) -> Callable[[], float]:
        return partial(in_own_process, work, options, *arguments, limit_seconds=limit)

    ways = (
        ("contiguous", "channels_last") if options.device == "cpu" else ("recorded", "unrecorded")
    )
    contenders = {
        f"tengen, {'bf16' if bf16 else 'fp32'}, {way}": own(measure_ours, bf16, way)
        for bf16 in (False, True)
        for way in ways
    }
    contenders[YARDSTICK] = own(measure_sb3)
    results, skipped = run_rounds(contenders, options.rounds)
    where = f"{options.torch_threads} threads" if options.device == "cpu" else options.device
    title = f"one DQN update of 32, Nature network, {where}"
    report(title, "ms", results, skipped, YARDSTICK, options.out, less_is_better=True)


def measure_ours(options: Options, bf16: bool, way: str) -> float:
    """Milliseconds per update of our agent's own ``learn``."""
    from agents.dqn.build import build
    from agents.dqn.config import PRESETS, DQNConfig
    from core.config import resolve
    from core.learner import Arithmetic
    from core.machine.memory import keep_freed_memory

    keep_freed_memory()
    if way == "unrecorded":
        Arithmetic.records = False  # type: ignore[assignment, method-assign]
    arithmetic = Arithmetic(options.device, options.torch_threads, bf16, way != "contiguous")
    config = replace(
        resolve(DQNConfig, PRESETS["sb3"][1]),
        env=f"ALE/{options.game}-v5",
        lanes=8,
        warmup_steps=0,
        update_every=UPDATE_EVERY,
        replay_capacity=2 * FILL_STEPS,
    )
    with tempfile.TemporaryDirectory() as folder:
        on_lanes: Any = build(config, Path(folder), lambda line: None, arithmetic).agent
        agent = on_lanes.agent
        step = agent.lanes.reset(1)
        rng = np.random.default_rng(1)
        for _ in range(FILL_STEPS // config.lanes):
            actions = rng.integers(0, agent.lanes.num_actions, config.lanes)
            agent.lanes.send(actions)
            outcome = agent.lanes.receive()
            agent.observe(step, actions, outcome)
            step = outcome
        agent.lanes.close()
        steps = 0

        def update() -> None:
            nonlocal steps
            steps += UPDATE_EVERY * options.group
            agent.learn(steps)

        milliseconds = _milliseconds(update, options) / options.group
        if agent.learner.updates * UPDATE_EVERY != steps:
            raise RuntimeError("other updates were made than were counted")
    return milliseconds


def measure_sb3(options: Options) -> float:
    """Milliseconds per update of stable-baselines3's own ``train``."""
    import torch

    from agents.baselines.build import build_env, build_model
    from agents.baselines.config import SB3DQNConfig

    torch.set_num_threads(options.torch_threads)
    config = SB3DQNConfig(
        env=f"ALE/{options.game}-v5",
        lanes=1,
        learning_starts=2 * FILL_STEPS,
        buffer_size=2 * FILL_STEPS,
        run=RunConfig(device=options.device),
    )
    env = build_env(config)
    model: Any = build_model(config, env)
    model.learn(FILL_STEPS)
    milliseconds = _milliseconds(lambda: model.train(gradient_steps=1, batch_size=32), options)
    env.close()
    return milliseconds


def _milliseconds(update: Callable[[], object], options: Options) -> float:
    """Median of one call, over so many seconds."""
    import torch

    for _ in range(5):
        update()
    times: list[float] = []
    end = time.perf_counter() + options.seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        update()
        if options.device != "cpu":
            torch.cuda.synchronize(options.device)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    main()
