"""What the benchmarks share: processes of their own, rounds that alternate, tables and JSON."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class SkippedError(Exception):
    """This contender cannot run here; the text says why."""


class EnoughError(Exception):
    """Raised out of a training loop once its speed is known."""


class Clock(Protocol):
    """What is told of steps, and says when it has seen enough."""

    def tick(self, steps: int) -> bool:
        """Count steps made. True at the end."""


class Stopwatch:
    """Counts agent steps after a warm-up, for so many seconds."""

    def __init__(self, warmup_steps: int, seconds: float) -> None:
        self.warmup_steps = warmup_steps
        self.seconds = seconds
        self.steps = 0
        self.rate = 0.0
        self._started: float | None = None
        self._first_step = 0

    def tick(self, steps: int) -> bool:
        """Count steps made. True once the time is over and ``rate`` is known."""
        self.steps += steps
        now = time.perf_counter()
        if self._started is None:
            if self.steps >= self.warmup_steps:
                self._started, self._first_step = now, self.steps
            return False
        passed = now - self._started
        if passed < self.seconds:
            return False
        self.rate = (self.steps - self._first_step) / passed
        return True


class TimedAgent:
    """An agent that stops the training loop around it once a clock has seen enough. The clock ticks
    between advances: where it acts and learns in two threads, both are at rest."""

    def __init__(self, agent: Any, clock: Clock) -> None:
        self._agent = agent
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    def advance(self, agent_steps: int) -> Any:
        """As the agent. Raises EnoughError at the end."""
        advanced = self._agent.advance(agent_steps)
        if self._clock.tick(advanced.agent_steps):
            raise EnoughError
        return advanced


def train_until_enough(built: Any, run: Any, folder: Any, clock: Clock) -> None:
    """Train what an agent's `build` made in the trainer's own loop, until a clock has seen enough.

    Args:
        built: the agent, its task and arithmetic.
        run: RunConfig.
        folder: RunFolder of the training.
        clock: told of all steps.
    """
    from core.report.progress import Progress
    from core.trainer import Trainer

    trainer = Trainer(
        TimedAgent(built.agent, clock), built.task, run, folder, identity={}, hyperparameters={},
        progress=Progress(enabled=False), arithmetic=built.arithmetic,
    )  # fmt: skip
    try:
        trainer.run()
    except EnoughError:
        pass
    finally:
        built.agent.close()


def in_own_process(work: Callable[..., Any], *arguments: Any, limit_seconds: float) -> Any:
    """Call ``work`` in a fresh interpreter, so that threads and memory settings stay its own.

    Raises:
        SkippedError: it raised SkippedError, failed, or took too long.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit_seconds):
            raise SkippedError(f"no result within {limit_seconds:.0f} seconds")
        kind, result = receiver.recv()
    except EOFError:
        process.join()
        raise SkippedError(f"its process ended with code {process.exitcode}") from None
    finally:
        process.terminate()
        process.join()
    if kind == "failed":
        raise SkippedError(str(result))
    return result


def _report(sender: Connection, work: Callable[..., Any], arguments: Sequence[Any]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        sender.send(("done", work(*arguments)))
    except SkippedError as reason:
        sender.send(("failed", str(reason)))
    except Exception as error:  # another library may raise anything; the others still run
        sender.send(("failed", f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """A benchmark that was killed leaves nobody busy, who would slow down the next."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def run_rounds(
    contenders: Mapping[str, Callable[[], float]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Measure all contenders in turn, over and over, so that drift of the machine hits all alike.

    Returns:
        Results by name, and by name why a contender was skipped.
    """
    results: dict[str, list[float]] = {name: [] for name in contenders}
    skipped: dict[str, str] = {}
    for number in range(rounds):
        for name, measure in contenders.items():
            if name in skipped:
                continue
            try:
                results[name].append(measure())
            except SkippedError as reason:
                skipped[name] = str(reason)
                print(f"round {number + 1}: {name}: skipped: {reason}", flush=True)
            else:
                print(f"round {number + 1}: {name}: {results[name][-1]:,.2f}", flush=True)
    return {name: values for name, values in results.items() if values}, skipped


def report(
    title: str,
    unit: str,
    results: Mapping[str, list[float]],
    skipped: Mapping[str, str],
    yardstick: str,
    out: str,
    extra: Mapping[str, Any] | None = None,
    *,
    less_is_better: bool = False,
) -> None:
    """Print medians with ratios to the yardstick, and write everything as JSON.

    Args:
        title: what was measured.
        unit: of the results.
        results: by contender, one per round.
        skipped: contender to reason.
        yardstick: the contender that ratios refer to.
        out: file to write; '' for none.
        extra: also kept in the file.
        less_is_better: ratios are turned round, so that more is always better for the contender.
    """
    medians = {name: statistics.median(values) for name, values in results.items()}
    base = medians.get(yardstick)
    ratios = {
        name: (base / value if less_is_better else value / base) if base else None
        for name, value in medians.items()
    }
    width = max(len(name) for name in [*results, *skipped, yardstick])
    print(
        f"\n{title}; median of {max(map(len, results.values()), default=0)} rounds, "
        f"ratio to {yardstick}" + (" (how many times faster)" if less_is_better else "")
    )
    for name, median in medians.items():
        ratio = ratios[name]
        spread = f"{min(results[name]):,.2f} to {max(results[name]):,.2f}"
        print(
            f"  {name.ljust(width)}  {median:>12,.2f} {unit}  "
            f"{'' if ratio is None else f'{ratio:6.2f}x'}  ({spread})"
        )
    for name, reason in skipped.items():
        print(f"  {name.ljust(width)}  skipped: {reason}")
    if out:
        write_results(
            Path(out),
            {
                "title": title,
                "unit": unit,
                "yardstick": yardstick,
                "medians": medians,
                "ratios": ratios,
                "rounds": dict(results),
                "skipped": dict(skipped),
                **(extra or {}),
            },
        )


def write_results(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, with the facts of the machine."""
    from core.machine.environment_facts import environment_facts

    path.parent.mkdir(parents=True, exist_ok=True)
    content["environment"] = environment_facts()
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {path}")


def parse_options(options: type[T]) -> T:
    """The command line of a benchmark, see `parse_program`; imported here, as a contender of
    another environment imports this file without tengen's packages."""
    from commands.options import parse_program

    return parse_program(options, f"python -m benchmarks.{Path(sys.argv[0]).stem}")
