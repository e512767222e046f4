"""What a training run leaves for its user: records, curves, evaluations, the line of progress.

The trainer uses it, and so do loops that are not ours, so that their runs look and compare alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core.agent import Metrics, Task
from core.config import RunConfig
from core.episodes import is_recorded
from core.evaluation import Episode
from core.files.run_folder import RunFolder
from core.machine import ranks
from core.report.logging import RunLogger
from core.report.progress import Pace, Progress, Report, describe, duration
from core.seeds import derived_seed

DETAIL_EVERY = 12
"""Histograms, images and texts are written with every twelfth set of scalars, and the last."""
RECORDS = ("episodes.jsonl", "metrics.jsonl", "evaluations.jsonl")


class Recorder:
    """Writes what is told of one run into its folder; knows when the next telling is due."""

    def __init__(
        self, folder: RunFolder, config: RunConfig, task: Task, progress: Progress
    ) -> None:
        """Args:
        folder: locked by the caller.
        config: how often.
        task: what scores mean, and how to get them.
        progress: where the user looks.
        """
        self.folder = folder
        self.config = config
        self.task = task
        self.progress = progress
        self.seconds = 0.0
        """Of training, over all sessions of the run; up to date after `elapsed`."""
        self.evaluated_at = 0
        self.last_evaluation: float | None = None
        self.best_evaluation: float | None = None
        self._logs = 0
        self._pace = Pace()
        self._clock = time.monotonic()

    def open(self, agent_steps: int, *, resumed: bool, hyperparameters: Mapping[str, Any]) -> None:
        """Start a session of the run.

        Args:
            agent_steps: made before.
            resumed: forget what was recorded of steps after these: they are made anew.
            hyperparameters: flat values for TensorBoard's hparams page.
        """
        events = self.folder.events if ranks.leads() else None
        self.logger = RunLogger(events, agent_steps if resumed else None)
        for name in RECORDS if resumed else ():
            self.folder.truncate_jsonl(name, agent_steps)
        self.logger.hparams(hyperparameters, ["return/mean_100", "evaluation/mean"])
        self.folder.set_status("running", agent_steps=agent_steps)
        self._clock = self._log_clock = time.monotonic()
        self._log_steps = agent_steps

    def close(self) -> None:
        """End the session."""
        self.logger.close()

    def elapsed(self) -> float:
        """Seconds of training over all sessions of this run."""
        now = time.monotonic()
        self.seconds += now - self._clock
        self._clock = now
        return self.seconds

    def _append(self, name: str, agent_steps: int, values: Mapping[str, Any]) -> None:
        seconds = round(self.elapsed(), 3)
        self.folder.append_jsonl(name, {"agent_steps": agent_steps, "seconds": seconds, **values})

    # ---------------------------------------------------------------- training

    def episode(self, agent_steps: int, number: int, episode: Episode) -> None:
        """An episode of training ended, the run's ``number``-th."""
        if not is_recorded(number):
            return
        values = {"episode": number, "return": episode.score, "length": episode.length_steps}
        self._append("episodes.jsonl", agent_steps, values)
        scalars = {"return/raw": episode.score, "return/length": float(episode.length_steps)}
        normalised = self.task.normalise(episode.score)
        if normalised is not None:
            scalars["return/human_normalised"] = normalised
        self.logger.scalars(scalars, agent_steps)

    @property
    def log_is_due(self) -> bool:
        """True when the last point of the curves is ``log_seconds`` old."""
        return time.monotonic() - self._log_clock >= self.config.log_seconds

    def log(
        self, agent_steps: int, metrics: Metrics, recent_mean: float | None, last: bool = False
    ) -> None:
        """One point of every curve, and the line of progress.

        Args:
            agent_steps: made so far.
            metrics: of the agent and of the loop.
            recent_mean: score of the last episodes of training.
            last: of this session; what a short run drew is seen, too.
        """
        passed = max(time.monotonic() - self._log_clock, 1e-9)
        rate = (agent_steps - self._log_steps) / passed
        pace = self._pace.add(agent_steps - self._log_steps, passed)
        scalars = dict(metrics.scalars)
        scalars["speed/agent_steps_per_second"] = rate
        if self.task.frames_per_step > 1:
            scalars["speed/frames_per_second"] = rate * self.task.frames_per_step
        if recent_mean is not None:
            scalars["return/mean_100"] = recent_mean
        self.logger.scalars(scalars, agent_steps)
        self._append("metrics.jsonl", agent_steps, scalars)
        if last or self._logs % DETAIL_EVERY == 0:
            for tag, values in metrics.histograms.items():
                self.logger.histogram(tag, values, agent_steps)
            for tag, image in metrics.images.items():
                self.logger.image(tag, image, agent_steps)
            for tag, text in metrics.texts.items():
                self.logger.text(tag, text, agent_steps)
        self.logger.flush()
        self.folder.set_status("running", agent_steps=agent_steps)
        self._show(agent_steps, scalars, rate, pace)
        self._logs += 1
        self._log_clock, self._log_steps = time.monotonic(), agent_steps
        self._tell(agent_steps, scalars, [])

    def _tell(self, agent_steps: int, scalars: Mapping[str, float], scores: list[float]) -> None:
        report = Report(self.folder.path, agent_steps, self.config.total_steps, scalars, scores)
        self.progress.tell(report)

    def _show(
        self, agent_steps: int, scalars: Mapping[str, float], rate: float, pace: float
    ) -> None:
        shown = {
            "return": scalars.get("return/mean_100"),
            "evaluation": self.last_evaluation,
            "loss": scalars.get("loss/td", scalars.get("loss/total")),
            "epsilon": scalars.get("exploration/epsilon"),
        }
        known = {label: value for label, value in shown.items() if value is not None}
        self.progress.line(describe(agent_steps, self.config.total_steps, rate, known, pace))

    # ---------------------------------------------------------------- evaluation

    def evaluation_is_due(self, agent_steps: int) -> bool:
        """True when a multiple of ``evaluate_every`` was passed since the last evaluation."""
        every = self.config.evaluate_every
        return bool(every) and agent_steps // every > self.evaluated_at // every

    @property
    def is_good_enough(self) -> bool:
        """True when the newest evaluation reached the score that was wanted."""
        score = self.last_evaluation
        return score is not None and score >= self.config.stop_at_score

    def evaluate(self, agent_steps: int, stop: Callable[[], bool]) -> bool:
        """Have the present policy scored, and record it; True for the best score so far.

        Args:
            agent_steps: made so far.
            stop: asked now and then; true ends it without a record.
        """
        started = time.monotonic()
        self.progress.line(f"{agent_steps:,} steps: evaluating", force=True)
        seed = derived_seed(self.config.seed, "evaluation", agent_steps)
        found = self.task.evaluate(agent_steps, seed, stop)
        spent = time.monotonic() - started
        self._log_clock += spent  # evaluation does not count in the training rate
        if found is None:
            return False
        self.evaluated_at, self.last_evaluation = agent_steps, found.best_by
        self.logger.scalars(found.scalars, agent_steps)
        mean = float(np.mean(found.scores))
        values = {
            "environment": self.task.environment,
            "protocol": self.task.protocol,
            "scores": found.scores,
            "mean": mean,
            "human_normalised": self.task.normalise(mean),
            "evaluation_seconds": round(spent, 3),
            **found.scalars,
        }
        self._append("evaluations.jsonl", agent_steps, values)
        if found.film:
            self.logger.animation("evaluation/video", found.film, 15, agent_steps)
        self.progress.note(f"{agent_steps:,} steps: {found.text}, {duration(spent)}")
        self._tell(agent_steps, found.scalars, found.scores)
        if self.best_evaluation is not None and found.best_by <= self.best_evaluation:
            return False
        self.best_evaluation = found.best_by
        return True

    # ---------------------------------------------------------------- saving and resuming

    def state_dict(self) -> dict[str, Any]:
        """What must go on counting in a resumed run."""
        return {
            "seconds": self.elapsed(),
            "evaluated_at": self.evaluated_at,
            "last_evaluation": self.last_evaluation,
            "best_evaluation": self.best_evaluation,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.seconds = float(state["seconds"])
        self.evaluated_at = int(state["evaluated_at"])
        self.last_evaluation = state["last_evaluation"]
        self.best_evaluation = state["best_evaluation"]
