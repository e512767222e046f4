"""Scores against the time they took: ours beside stable-baselines3's DQN and PPO on one Atari game.

Each contender trains in turn, in a process of its own, for the same time by the clock, and is
scored at the same moments: raw scores of whole games, under the same protocol (sticky actions),
by the same code. The clock runs from before anything is loaded, start-up probe and compiling of
kernels included, and stands still during evaluations.

stable-baselines3 has the Atari settings of rl-baselines3-zoo, on our lanes (as `tengen train
sb3-dqn` and `sb3-ppo` have), so that all play the same game. The zoo's DQN plays at random for its
first 100,000 steps and half at random for the next half million; so it starts a second time with as
short a warm-up and as quick a fall of epsilon as ours.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import (
    SkippedError,
    in_own_process,
    parse_options,
    train_until_enough,
    write_results,
)
from commands.options import positional
from core.config import field_types, free
from core.errors import UserError, did_you_mean

MOST_STEPS = 10_000_000
"""Given to stable-baselines3's DQN with a short warm-up, whose exploration is a share of them."""


@dataclass(frozen=True)
class Options:
    """Score against training time, ours beside stable-baselines3."""

    beside: tuple[str, ...] = positional(())
    """Results of earlier calls, printed and drawn along with this one's."""
    seconds: float = free(1200.0, over=0)
    """Of training, per contender and round."""
    evaluations: int = free(8, at_least=1)
    """Of each contender, at equal distances, the last at the end; one more where its training ends
    before."""
    episodes: int = free(10, at_least=1)
    """Games of each evaluation."""
    rounds: int = free(1, at_least=0)
    """How often each trains, with another seed each time; 0 draws what is beside alone."""
    game: str = "Pong"
    """Atari game."""
    protocol: str = "dopamine"
    """Rules for all, see `envs/atari/protocol.py`."""
    agent: str = "pqn"
    """Ours."""
    settings: str = "--preset cpu"
    """Options of ours, as after `tengen train AGENT`."""
    warmup: int = free(5_000, at_least=0)
    """Random steps of stable-baselines3's DQN with a short warm-up."""
    exploration: int = free(30_000, at_least=1, at_most=MOST_STEPS)
    """Steps over which its epsilon falls."""
    only: str = ""
    """Leave out contenders without this in their names."""
    out: str = "runs/benchmarks/time_to_score.json"
    """Where the results go; the figure lies beside it."""

    def validate(self) -> None:
        """Raise UserError for what would fail only when its turn comes."""
        from agents.registry import AGENTS, load_object
        from envs.atari.lanes import rom_name

        if self.agent not in AGENTS:
            raise UserError(
                f"there is no agent {self.agent!r}{did_you_mean(self.agent, AGENTS)} (known: "
                f"{', '.join(AGENTS)})"
            )
        if "atari" not in field_types(load_object(AGENTS[self.agent].config)):
            raise UserError(f"--agent {self.agent} plays no Atari games")
        rom_name(f"ALE/{self.game}-v5")
        if not any(self.only in name for name in _all_contenders(self)):
            raise UserError(
                f"--only {self.only!r} is in no contender's name: "
                f"{'; '.join(_all_contenders(self))}"
            )
        for agent, settings in contenders(self).values():
            _config(self, agent, command_line(self, settings, seed=1))
        if not self.rounds and not self.beside:
            raise UserError("--rounds 0 trains nobody: name earlier results")
        _read_beside(self)
        if self.out:
            _require_writable(Path(self.out))


def _require_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror}: {error.filename}") from None
    if path.suffix == ".png":
        raise UserError(f"--out {path} is where the figure goes; give it another ending")
    new = not path.exists()
    try:
        path.open("a").close()  # what permissions promise does not always hold
    except OSError as error:
        raise UserError(f"--out {path} is no file that can be written: {error.strerror}") from None
    if new:
        path.unlink()


def _all_contenders(options: Options) -> dict[str, tuple[str, str]]:
    short = (
        f"--learning-starts {options.warmup} --total-steps {MOST_STEPS} "
        f"--exploration-fraction {options.exploration / MOST_STEPS}"
    )
    return {
        f"tengen {options.agent} {options.settings}": (options.agent, options.settings),
        "stable-baselines3 DQN, zoo": ("sb3-dqn", ""),
        "stable-baselines3 DQN, zoo, short warm-up": ("sb3-dqn", short),
        "stable-baselines3 PPO, zoo": ("sb3-ppo", ""),
    }


def contenders(options: Options) -> dict[str, tuple[str, str]]:
    """Agent and settings of all that train, by name."""
    return {name: work for name, work in _all_contenders(options).items() if options.only in name}


def command_line(options: Options, settings: str, seed: int) -> list[str]:
    """What stands after `tengen train AGENT`. Raises UserError for a quote that is not closed."""
    try:
        words = shlex.split(settings)
    except ValueError as error:
        raise UserError(f"--settings {settings!r}: {error}") from None
    env = ["--env", f"ALE/{options.game}-v5", "--protocol", options.protocol]
    return [*env, *words, "--seed", str(seed)]


@dataclass(frozen=True)
class Point:
    """An evaluation."""

    seconds: float
    """Of training until then."""
    agent_steps: int
    mean: float
    scores: list[float]


class TrainingClock:
    """Counts steps, stops the time for evaluations, and says when the time is over."""

    def __init__(self, options: Options) -> None:
        self.marks = [
            options.seconds * (i + 1) / options.evaluations for i in range(options.evaluations)
        ]
        self.points: list[Point] = []
        self.passed = 0
        self.steps = 0
        self.evaluate: Callable[[int], list[float]] | None = None
        """From agent steps to scores; set before the first tick."""
        self._started = time.perf_counter()

    def tick(self, steps: int) -> bool:
        """Count steps made, and evaluate where it is time to. True once the time is over."""
        self.steps += steps
        now = time.perf_counter()
        seconds = now - self._started
        passed = sum(mark <= seconds for mark in self.marks)
        if passed > self.passed:
            self.passed = passed  # several at once, where a step takes that long
            self._score(seconds)
            self._started += time.perf_counter() - now
        return self.passed == len(self.marks)

    def end(self) -> None:
        """Evaluate what training ended with, where it ended before the time was over."""
        scored = self.points[-1].agent_steps if self.points else 0
        if self.steps > scored:
            self._score(time.perf_counter() - self._started)

    def _score(self, seconds: float) -> None:
        assert self.evaluate is not None
        scores = self.evaluate(self.steps)
        point = Point(seconds, self.steps, sum(scores) / len(scores), scores)
        self.points.append(point)
        print(f"  {seconds:6.0f} s {self.steps:>9,} steps {point.mean:7.2f}", flush=True)


def main() -> None:
    """Train, write, print and draw."""
    options = parse_options(Options)
    beside = _read_beside(options)
    curves: dict[str, list[list[Point]]] = {name: [] for name in contenders(options)}
    skipped: dict[str, str] = {}
    for seed in range(1, options.rounds + 1):
        for name, (agent, settings) in contenders(options).items():
            print(f"round {seed}: {name}", flush=True)
            measure = measure_sb3 if agent.startswith("sb3-") else measure_ours
            work = partial(
                in_own_process, measure, options, agent, command_line(options, settings, seed)
            )
            try:
                points = work(limit_seconds=600 + 5 * options.seconds)
                if not points:
                    raise SkippedError("its training ended before the first evaluation")
            except SkippedError as reason:
                skipped[name] = str(reason)
                print(f"  skipped: {reason}", flush=True)
            else:
                curves[name].append(points)
            if any(curves.values()):  # now: what follows may take hours, and fail
                _write(options, curves, skipped)
    if options.rounds and not any(curves.values()):
        sys.exit("error: no contender was scored; nothing is written")
    names = [name for name in {**curves, **beside} if curves.get(name) or name in beside]
    _report(options, {name: curves.get(name, []) + beside.get(name, []) for name in names})


def _read_beside(options: Options) -> dict[str, list[list[Point]]]:
    """The curves of earlier results. Raises UserError where a file holds none of this game."""
    found: dict[str, list[list[Point]]] = {}
    for path in options.beside:
        try:
            content = json.loads(Path(path).read_text())
            made = content["options"]["game"], content["options"]["protocol"]
            for name, runs in content["curves"].items():
                points = [[_point(stored) for stored in run] for run in runs if run]
                found[str(name)] = found.get(name, []) + points
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} holds no results of this benchmark ({type(error).__name__}: {error})"
            ) from None
        if made != (options.game, options.protocol):
            raise UserError(f"{path} is of {made[0]}, protocol {made[1]}")
    return {name: runs for name, runs in found.items() if runs}


def _point(stored: Mapping[str, Any]) -> Point:
    """A point as `_write` left it."""
    seconds, mean = float(stored["seconds"]), float(stored["mean"])
    scores = [float(score) for score in stored["scores"]]
    return Point(seconds, int(stored["agent_steps"]), mean, scores)


def measure_ours(options: Options, agent: str, command: Sequence[str]) -> list[Point]:
    """Scores of an agent of this suite, trained as its command line trains it."""
    clock = TrainingClock(options)
    from agents.registry import AGENTS, load_object
    from core.files.run_folder import RunFolder
    from core.machine.memory import keep_freed_memory

    keep_freed_memory()
    config = _config(options, agent, command)
    with tempfile.TemporaryDirectory() as parent:
        folder = RunFolder.create(Path(parent), agent, config.env, config.run.seed)
        build = load_object(AGENTS[agent].build_module).build
        built = build(config, folder.replay, lambda line: print(f"  {line}", flush=True))
        clock.evaluate = _scorer(built.task, config.run.seed)
        train_until_enough(built, config.run, folder, clock)
        clock.end()
    return clock.points


def measure_sb3(options: Options, agent: str, command: Sequence[str]) -> list[Point]:
    """Scores of stable-baselines3's, in that library's own loop."""
    clock = TrainingClock(options)
    import numpy as np
    from stable_baselines3.common.callbacks import BaseCallback

    from agents.baselines.build import build_env, build_model
    from agents.baselines.policy import SB3Policy
    from core.lanes import Lanes
    from envs.atari.protocol import PROTOCOLS
    from envs.task import make_task

    config = _config(options, agent, command)
    env = build_env(config)
    model = build_model(config, env)
    epsilon = PROTOCOLS[config.atari.protocol].evaluation_epsilon

    def policy(lanes: Lanes, seed: int) -> SB3Policy:
        return SB3Policy(model, lanes, np.random.default_rng(seed), epsilon)

    task = make_task(config.env, config.atari, config.gymnasium, config.run, policy)
    clock.evaluate = _scorer(task, config.run.seed)

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            return not clock.tick(config.lanes)

    model.learn(config.run.total_steps, callback=Watch())
    clock.end()
    env.close()
    return clock.points


def _config(options: Options, agent: str, command: Sequence[str]) -> Any:
    """The options of a command line, of a run that evaluates and saves nothing by itself."""
    from agents.registry import AGENTS
    from commands.options import parse_training

    own = f"--evaluate-every 0 --checkpoint-seconds 1e9 --evaluate-episodes {options.episodes}"
    argv = [*command, *shlex.split(own), "--no-video", "--no-progress"]
    return parse_training(AGENTS[agent], argv)[0]


def _scorer(task: Any, seed: int) -> Callable[[int], list[float]]:
    """From agent steps to the scores of an evaluation."""

    def evaluate(agent_steps: int) -> list[float]:
        assessment = task.evaluate(agent_steps, seed + agent_steps, lambda: False)
        return [float(score) for score in assessment.scores]

    return evaluate


def _write(options: Options, curves: dict[str, list[list[Point]]], skipped: dict[str, str]) -> None:
    if options.out:
        points = {name: [[asdict(p) for p in run] for run in runs] for name, runs in curves.items()}
        content = {"options": asdict(options), "curves": points, "skipped": skipped}
        write_results(Path(options.out), content)


def _report(options: Options, curves: dict[str, list[list[Point]]]) -> None:
    """Print the last scores, and draw all."""
    print(f"\n{options.game}, {options.protocol}, after {options.seconds:,.0f} s of training")
    width = max(map(len, curves))
    for name, runs in curves.items():
        for run in runs:
            last, best = run[-1], max(run, key=lambda point: point.mean)
            print(
                f"  {name.ljust(width)}  {last.mean:7.2f} at {last.agent_steps:>9,} steps, "
                f"best {best.mean:7.2f} at {best.seconds:,.0f} s"
            )
    if options.out:
        draw(options, curves, Path(options.out).with_suffix(".png"))


def draw(options: Options, curves: dict[str, list[list[Point]]], path: Path) -> None:
    """Scores over minutes, a line for each run."""
    from studies.training import new_figure, save_figure

    figure, (ax,) = new_figure(1)
    for number, (name, runs) in enumerate(curves.items()):
        for run in runs:
            ax.plot(
                [point.seconds / 60 for point in run],
                [point.mean for point in run],
                color=f"C{number}",
                marker="o",
                markersize=3,
                label=name if run is runs[0] else None,
            )
    ax.set_xlabel("minutes of training, evaluations left out")
    ax.set_ylabel(f"score, mean of {options.episodes} games")
    ax.set_title(f"{options.game}, protocol {options.protocol}", fontsize=10)
    ax.legend(frameon=False, fontsize=8)
    save_figure(figure, path)
    print(f"drawn as {path}")


if __name__ == "__main__":
    main()
