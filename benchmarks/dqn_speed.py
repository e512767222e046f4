"""Agent steps per second of the whole DQN training loop: ours, stable-baselines3's, CleanRL's.

All run the Atari settings of rl-baselines3-zoo: Nature's network, one update of 32 transitions per
4 agent steps, Adam, target network every 1,000 steps. Learning starts early, so the measured window
is all learning, with epsilon at its last value.
"""

from __future__ import annotations

import importlib.util
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import (
    SkippedError,
    Stopwatch,
    in_own_process,
    parse_options,
    report,
    run_rounds,
    train_until_enough,
)
from core.config import free

LEARNING_STARTS = 1_000
MEASURE_FROM = 1_400
YARDSTICK = "stable-baselines3 DQN, 1 env"
CLEANRL_LAUNCH = (
    "import os, runpy, sys, threading, ale_py; sys.argv = sys.argv[1:]; "
    "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start(); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""Some versions of ale-py register their games only when they are imported. Its input ends with
the benchmark, however that ends."""
CLEANRL_REPORT_STEPS = 100
"""CleanRL prints a line after so many agent steps."""


@dataclass(frozen=True)
class Options:
    """Speed of the DQN training loop, in rounds that alternate between the contenders."""

    seconds: float = free(30.0, over=0)
    """Measured per contender and round, after the warm-up."""
    rounds: int = free(3, at_least=1)
    """How often each contender is measured."""
    game: str = "Pong"
    """Atari game."""
    replay_capacity: int = 100_000
    """Transitions kept."""
    cleanrl: str = ""
    """A checkout of CleanRL; '' leaves it out."""
    cleanrl_python: str = sys.executable
    """Interpreter that has CleanRL's dependencies."""
    out: str = "runs/benchmarks/dqn_speed.json"
    """Where the results go."""


def main() -> None:
    """Measure, print and write."""
    options = parse_options(Options)
    limit = 60 * 5 + 4 * options.seconds

    def own(work: Callable[..., float], *arguments: object) -> Callable[[], float]:
        return partial(in_own_process, work, options, *arguments, limit_seconds=limit)

    contenders = {
        "tengen DQN, 8 lanes": own(measure_ours, 8, "auto"),
        "tengen DQN, 8 lanes, fp32": own(measure_ours, 8, "fp32"),
        "tengen DQN, 1 lane": own(measure_ours, 1, "auto"),
        "tengen DQN, 1 lane, fp32": own(measure_ours, 1, "fp32"),
        YARDSTICK: own(measure_sb3),
    }
    if options.cleanrl:
        contenders["CleanRL dqn_atari, 1 env"] = partial(measure_cleanrl, options)
    results, skipped = run_rounds(contenders, options.rounds)
    if not options.cleanrl:
        skipped["CleanRL dqn_atari, 1 env"] = "name a checkout with --cleanrl"
    report(
        f"DQN training loop on {options.game}",
        "agent steps/s",
        results,
        skipped,
        YARDSTICK,
        options.out,
    )


def measure_ours(options: Options, lanes: int, precision: Literal["auto", "fp32"]) -> float:
    """Agent steps per second of ``tengen train dqn --preset sb3``."""
    from agents.dqn.build import build
    from agents.dqn.config import PRESETS, DQNConfig
    from core.config import RunConfig, resolve
    from core.files.run_folder import RunFolder
    from core.machine.memory import keep_freed_memory

    keep_freed_memory()
    config = resolve(DQNConfig, PRESETS["sb3"][1])
    config = replace(
        config,
        env=f"ALE/{options.game}-v5",
        lanes=lanes,
        warmup_steps=LEARNING_STARTS,
        epsilon_start=config.epsilon_end,
        replay_capacity=options.replay_capacity,
        run=RunConfig(
            precision=precision,
            evaluate_every=0,
            checkpoint_seconds=1e9,
            progress=False,
        ),
    )
    stopwatch = Stopwatch(MEASURE_FROM, options.seconds)
    with tempfile.TemporaryDirectory() as parent:
        folder = RunFolder.create(Path(parent), "dqn", config.env, 1)
        built = build(config, folder.replay, lambda line: print(f"  {line}", flush=True))
        train_until_enough(built, config.run, folder, stopwatch)
    return stopwatch.rate


def measure_sb3(options: Options) -> float:
    """Agent steps per second of stable-baselines3's DQN as its users run it."""
    import ale_py
    import gymnasium
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    if importlib.util.find_spec("cv2") is None:
        raise SkippedError("its Atari wrappers need OpenCV: pip install opencv-python-headless")
    gymnasium.register_envs(ale_py)
    stopwatch = Stopwatch(MEASURE_FROM, options.seconds)

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            return not stopwatch.tick(1)

    env = VecFrameStack(make_atari_env(f"{options.game}NoFrameskip-v4", n_envs=1, seed=1), 4)
    model = DQN(
        "CnnPolicy",
        env,
        learning_rate=1e-4,
        batch_size=32,
        buffer_size=options.replay_capacity,
        learning_starts=LEARNING_STARTS,
        target_update_interval=1_000,
        train_freq=4,
        gradient_steps=1,
        exploration_fraction=0.1,
        exploration_initial_eps=0.01,
        exploration_final_eps=0.01,
        optimize_memory_usage=False,
        seed=1,
    )
    model.learn(10_000_000, callback=Watch())
    env.close()
    return stopwatch.rate


def measure_cleanrl(options: Options) -> float:
    """Agent steps per second of CleanRL's ``dqn_atari.py``, timed by the lines that it prints.

    Raises:
        SkippedError: the checkout or what it needs is not there.
    """
    root = Path(options.cleanrl).resolve()
    script = root / "cleanrl" / "dqn_atari.py"
    if not script.is_file():
        raise SkippedError(f"{root} is no checkout of CleanRL: it has no cleanrl/dqn_atari.py")
    arguments = [
        options.cleanrl_python,
        "-u",
        "-c",
        CLEANRL_LAUNCH,
        str(script),
        "--env-id",
        f"{options.game}NoFrameskip-v4",
        "--buffer-size",
        str(options.replay_capacity),
        "--learning-starts",
        str(LEARNING_STARTS),
        "--start-e",
        "0.01",
        "--end-e",
        "0.01",
        "--no-cuda",
    ]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return _rate_from_lines(process, options.seconds)
        finally:
            _end(process)


def _rate_from_lines(process: subprocess.Popen[str], seconds: float) -> float:
    """Steps per second from the times at which "SPS" lines arrive."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    stopwatch = Stopwatch(MEASURE_FROM - LEARNING_STARTS, seconds)
    last = ""
    deadline = time.monotonic() + 300 + 4 * seconds
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise SkippedError("no speed was known in time") from None
        if line is None:
            raise SkippedError(
                f"it ended with: {last} (it needs the packages of its "
                f"pyproject.toml; name their interpreter with --cleanrl-python)"
            )
        last = line.strip() or last
        if line.startswith("SPS:") and stopwatch.tick(CLEANRL_REPORT_STEPS):
            return stopwatch.rate


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()


if __name__ == "__main__":
    main()
