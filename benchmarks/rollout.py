"""Agent steps per second of random play: our whole tick against the bare emulators.

Ours is the real training loop with an agent that plays at random: lanes, stacked frames, episode
statistics, logs. The yardstick is ale-py's own vector environment, stacking frames itself, with the
same number of games and threads.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import (
    EnoughError,
    Stopwatch,
    TimedAgent,
    in_own_process,
    parse_options,
    report,
    run_rounds,
)
from core.config import free

WARMUP_STEPS = 2_000


@dataclass(frozen=True)
class Options:
    """Speed of random play, in rounds that alternate between ours and the bare emulators."""

    seconds: float = free(10.0, over=0)
    """Measured per contender and round."""
    rounds: int = free(5, at_least=1)
    """How often each is measured."""
    game: str = "Pong"
    """Atari game."""
    lanes: int = 8
    """Games side by side."""
    threads: int = 0
    """Native threads; 0 for one per core."""
    out: str = "runs/benchmarks/rollout.json"
    """Where the results go."""

    @property
    def native_threads(self) -> int:
        """Threads that both sides use."""
        return min(self.threads or len(os.sched_getaffinity(0)), self.lanes)


def main() -> None:
    """Measure, print and write."""
    options = parse_options(Options)
    limit = 120 + 4 * options.seconds

    def own(work: Callable[[Options], float]) -> Callable[[], float]:
        return partial(in_own_process, work, options, limit_seconds=limit)

    yardstick = "bare AtariVectorEnv"
    results, skipped = run_rounds(
        {"tengen training loop, random agent": own(measure_ours), yardstick: own(measure_bare)},
        options.rounds,
    )
    title = (
        f"random play of {options.game}, {options.lanes} games, {options.native_threads} threads"
    )
    report(title, "agent steps/s", results, skipped, yardstick, options.out)


class RandomAgent:
    """Stacks frames as a learner does, and then plays at random."""

    def __init__(self, lanes: Any) -> None:
        from core.lanes import FrameStack

        self.lanes = lanes
        self.frames = FrameStack(lanes.observation_spec, lanes.num_lanes)
        self.rng = np.random.default_rng(1)

    def act(self, step: Any, agent_steps: int) -> np.ndarray:
        """Random actions, int64 [L]."""
        self.frames.push(step)
        actions: np.ndarray = self.rng.integers(0, self.lanes.num_actions, self.lanes.num_lanes)
        return actions

    def learn(self, agent_steps: int) -> None:
        """Nothing."""

    def observe(self, step: Any, actions: np.ndarray, outcome: Any) -> None:
        """Nothing."""

    def metrics(self) -> Any:
        """Nothing to report."""
        from core.agent import Metrics

        return Metrics()

    def needs_checkpoint(self) -> bool:
        """Never."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Nothing to save."""
        return {"network": {}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""

    def start_from(self, network: Mapping[str, Any]) -> None:
        """It learns nothing."""

    def lanes_restarted(self, last: Any) -> None:
        """Nothing to close."""


def no_policy(lanes: Any, seed: int) -> Any:
    """Never asked for: nothing is evaluated."""
    raise AssertionError


def measure_ours(options: Options) -> float:
    """Agent steps per second of the trainer with a random agent."""
    from core.config import RunConfig
    from core.files.run_folder import RunFolder
    from core.lane_agent import OnLanes
    from core.learner import Arithmetic
    from core.report.progress import Progress
    from core.trainer import Trainer
    from envs.atari.protocol import AtariConfig
    from envs.make import DEFAULTS, make_lanes
    from envs.task import make_task

    env = f"ALE/{options.game}-v5"
    atari = AtariConfig(env_threads=options.native_threads)
    stopwatch = Stopwatch(WARMUP_STEPS, options.seconds)
    lanes = make_lanes(env, options.lanes, atari)
    with tempfile.TemporaryDirectory() as parent:
        config = RunConfig(evaluate_every=0, checkpoint_seconds=1e9, progress=False)
        trainer = Trainer(
            TimedAgent(OnLanes(RandomAgent(lanes), seed=1), stopwatch),
            make_task(env, atari, DEFAULTS, config, no_policy),
            config,
            RunFolder.create(Path(parent), "random", env, 1),
            identity={},
            hyperparameters={},
            progress=Progress(enabled=False),
            arithmetic=Arithmetic(),
        )
        try:
            trainer.run()
        except EnoughError:
            pass
        finally:
            lanes.close()
    return stopwatch.rate


def measure_bare(options: Options) -> float:
    """Agent steps per second of the emulators alone, under the same protocol."""
    from ale_py.vector_env import AtariVectorEnv

    from envs.atari.lanes import rom_name
    from envs.atari.protocol import PROTOCOLS, AtariConfig

    protocol = PROTOCOLS[AtariConfig().protocol]
    env: Any = AtariVectorEnv(
        rom_name(f"ALE/{options.game}-v5"),
        options.lanes,
        num_threads=options.native_threads,
        max_num_frames_per_episode=protocol.training_frame_cap,
        repeat_action_probability=protocol.sticky_probability,
        noop_max=protocol.noop_max + 1,
        use_fire_reset=protocol.fire_reset,
        reward_clipping=False,
        stack_num=4,
    )
    rng = np.random.default_rng(1)
    stopwatch = Stopwatch(WARMUP_STEPS, options.seconds)
    env.reset(seed=1)
    actions = int(env.single_action_space.n)
    while not stopwatch.tick(options.lanes):
        env.step(rng.integers(0, actions, options.lanes))
    env.close()
    return stopwatch.rate


if __name__ == "__main__":
    main()
