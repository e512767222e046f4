"""One line of progress: how far, how fast, how long still, and the score that matters."""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from core.machine import ranks

PACE_SECONDS = 300.0
"""An interval this long ago counts for a third in the time left."""
SECOND = 1.0
PLAIN_SECONDS = 30.0
"""Where lines cannot be overwritten (a log file), one is written this often."""


@dataclass(frozen=True)
class Report:
    """What a callback is told: after each point of the curves, and after each evaluation."""

    run_dir: Path
    """Folder of the run."""
    agent_steps: int
    """Made so far."""
    total_steps: int
    """Wanted."""
    scalars: Mapping[str, float]
    """The point or the evaluation in numbers, by TensorBoard tag."""
    scores: list[float] = field(default_factory=list)
    """Of an evaluation's episodes; empty where this is a point of the curves."""


Callback = Callable[[Report], object]
"""Told how training goes; returning False ends it after the tick, with everything saved."""


def duration(seconds: float) -> str:
    """Seconds as '2h05m', '3m20s' or '12s'."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{whole % 60:02d}s" if minutes else f"{whole}s"


def speed(steps_per_second: float) -> str:
    """Steps per second; per minute where they are few."""
    if 0 < steps_per_second < 1:
        return f"{60 * steps_per_second:.2g} steps/min"
    return f"{steps_per_second:,.0f} steps/s"


class Progress:
    """Writes to a terminal in place, or a line now and then to anything else; tells a callback."""

    def __init__(
        self,
        enabled: bool = True,
        stream: TextIO | None = None,
        callback: Callback | None = None,
    ) -> None:
        self.stop_requested = False
        """True once the callback returned False."""
        self._callback = callback if ranks.leads() else None
        self._listeners: list[Callback] = []
        self._stream = stream or (sys.stderr if ranks.leads() else io.StringIO())
        self._enabled = enabled and ranks.leads()
        self._in_place = self._stream.isatty()
        self._last_plain = -PLAIN_SECONDS
        self._width = 0

    def tell(self, report: Report) -> None:
        """Call the listeners; and the callback, unless it has asked for the end."""
        for listener in self._listeners:
            listener(report)
        if self._callback is not None and not self.stop_requested:
            self.stop_requested = self._callback(report) is False

    def add_listener(self, listener: Callback) -> None:
        """Have ``listener`` told of every report, too; what it returns does not matter."""
        self._listeners.append(listener)

    def line(self, text: str, force: bool = False) -> None:
        """Show the present state."""
        if not self._enabled:
            return
        if self._in_place:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        elif force or time.monotonic() - self._last_plain >= PLAIN_SECONDS:
            self._stream.write(text + "\n")
            self._last_plain = time.monotonic()
        self._stream.flush()

    def clear(self) -> None:
        """Take the line off a terminal."""
        if self._in_place and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0
            self._stream.flush()

    def note(self, text: str) -> None:
        """Say something that stays on the screen, whether or not progress is shown."""
        self.clear()
        self._stream.write(text + "\n")
        self._stream.flush()


class EpisodeProgress(Progress):
    """Progress of an evaluation, told of every tick and shown once a second."""

    def __init__(self, episodes: int, stream: TextIO | None = None) -> None:
        super().__init__(stream=stream)
        self._episodes = episodes
        self._began = self._shown = time.monotonic()

    def show(self, finished: int, steps: int) -> None:
        """Show how many episodes are finished, after how many steps of all lanes together."""
        now = time.monotonic()
        if now - self._shown < SECOND:
            return
        self._shown = now
        spent = now - self._began
        parts = [f"{finished}/{self._episodes} episodes", f"{steps:,} steps"]
        parts.append(speed(steps / spent))
        if finished:
            parts.append(f"{duration(spent / finished * (self._episodes - finished))} left")
        self.line("  ".join(parts))


class Pace:
    """How fast a run has been of late, which says better than one interval how long it will take:
    a single one may hold a save, or the first steps, which learn nothing."""

    def __init__(self) -> None:
        self._steps = self._seconds = 0.0

    def add(self, steps: int, seconds: float) -> float:
        """Count an interval; return steps per second, where older ones count for less and less."""
        kept = math.exp(-seconds / PACE_SECONDS)
        self._steps = self._steps * kept + steps
        self._seconds = self._seconds * kept + seconds
        return self._steps / self._seconds


def describe(
    agent_steps: int,
    total_steps: int,
    steps_per_second: float,
    scalars: dict[str, float],
    pace: float,
) -> str:
    """The progress line.

    Args:
        agent_steps: done so far.
        total_steps: wanted.
        steps_per_second: in the last interval; under 1, the pace is shown.
        scalars: label to value, in the order to be shown.
        pace: steps per second over a longer time, for the time left.
    """
    left = max(0, total_steps - agent_steps)
    parts = [
        f"{agent_steps:,}/{total_steps:,} steps ({100 * agent_steps / total_steps:.1f}%)"
        if left
        else f"{agent_steps:,} steps (all {total_steps:,} done)",
        speed(steps_per_second if steps_per_second >= 1 else pace),
    ]
    if pace > 0:
        parts.append(f"{duration(left / pace)} left")
    parts += [f"{label} {value:.4g}" for label, value in scalars.items()]
    return "  ".join(parts)
