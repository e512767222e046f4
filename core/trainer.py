"""The loop that every learner runs in, and all that a user expects around it.

    act -> send -> learn -> receive -> observe          one tick, all lanes together

``send`` starts the lanes on their actions and ``learn`` works while they move. The learner sees
only experience committed before the tick, so the order of things never depends on timing and the
same seed gives the same run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import checkpoint
from core.agent import Agent, Assessment, Task
from core.config import RunConfig
from core.episodes import EpisodeTracker, is_recorded
from core.evaluation import Episode, cut_note, play_episodes
from core.interrupt import Interrupt
from core.lanes import Step
from core.learner import Arithmetic, DivergedError, require_finite
from core.logging import RunLogger
from core.progress import Progress, describe, duration
from core.run_folder import RunFolder

DETAIL_EVERY = 12
"""Histograms and images are written with every twelfth set of scalars."""
EVALUATION_LANES = 8
ANIMATION_FRAMES = 240
ANIMATION_STRIDE = 2


class Trainer:
    """Trains one agent in one run folder."""

    def __init__(
        self,
        agent: Agent,
        task: Task,
        config: RunConfig,
        folder: RunFolder,
        *,
        identity: Mapping[str, Any],
        hyperparameters: Mapping[str, Any],
        progress: Progress,
        arithmetic: Arithmetic,
    ) -> None:
        """Prepare a run that starts at step 0; ``restore`` moves it to a checkpoint.

        Args:
            agent: what learns.
            task: what it learns on.
            config: how long, how often, where.
            folder: locked by the caller.
            identity: what a checkpoint must agree on to be loaded into this run.
            hyperparameters: flat values for TensorBoard's hparams page.
            progress: where the user looks.
            arithmetic: kept in checkpoints, so that a resumed run computes in the same way.
        """
        self.agent = agent
        self.task = task
        self.config = config
        self.folder = folder
        self.identity = dict(identity)
        self.hyperparameters = dict(hyperparameters)
        self.progress = progress
        self.arithmetic = arithmetic
        self.agent_steps = 0
        self.seconds = 0.0
        self.episodes = EpisodeTracker(agent.lanes.num_lanes)
        self.evaluated_at = 0
        self.last_evaluation: float | None = None
        self.best_evaluation: float | None = None
        self.step: Step | None = None
        self._restored = False
        self._sound = False
        self._lanes_sound = True
        self._times = dict.fromkeys(("acting", "learning", "environment", "waiting", "other"), 0.0)
        self._logs = 0

    # ---------------------------------------------------------------- the loop

    def run(self) -> str:
        """Train until the end or until asked to stop; return 'finished' or 'stopped'.

        Raises:
            DivergedError: the loss or a weight is not finite; the last good checkpoint stays.
            UserError: a checkpoint cannot be written, or an environment failed: what was learned
                until then is saved.
        """
        config = self.config
        with Interrupt() as interrupt:
            try:
                self._start()
                while not self._finished() and not interrupt.requested:
                    self._tick()
                    self._log_if_due()
                    if self._evaluation_due():
                        self._evaluate(interrupt)
                    self._checkpoint_if_due()
                finished = self._finished()
                if finished and config.evaluate_every and self.evaluated_at < self.agent_steps:
                    self._evaluate(interrupt)
                self._log()
                self.save()
            except DivergedError:
                self.folder.set_status("diverged", agent_steps=self.agent_steps)
                raise
            except Exception as error:
                if self._sound:
                    self._save_after(error)
                self.folder.set_status("failed", agent_steps=self.agent_steps)
                raise
            finally:
                self.logger.close()
        state = "finished" if finished else "stopped"
        self.folder.set_status(state, agent_steps=self.agent_steps)
        return state

    def _finished(self) -> bool:
        """All steps are made, or the newest evaluation is as good as was wanted."""
        score = self.last_evaluation
        good = score is not None and score >= self.config.stop_at_score
        return good or self.agent_steps >= self.config.total_steps

    def _start(self) -> None:
        self.logger = RunLogger(self.folder.events, self.agent_steps if self._restored else None)
        if self.step is None:
            self.step = self.agent.lanes.reset(self._seed("lanes"))
        self._clock = self._log_clock = self._save_clock = time.monotonic()
        self._log_steps = self.agent_steps
        self.logger.hparams(self.hyperparameters, ["return/mean_100", "evaluation/mean"])
        self.folder.set_status("running", agent_steps=self.agent_steps)
        if not self._restored:
            self.save()
        self._sound = True

    def _tick(self) -> None:
        agent, step = self.agent, self.step
        assert step is not None
        with self._timed("acting"):
            actions = agent.act(step, self.agent_steps)
        with self._timed("environment"):
            agent.lanes.send(actions)
        self._sound = False
        with self._timed("learning"):
            agent.learn(self.agent_steps)
        self._sound = True
        with self._timed("waiting" if agent.lanes.overlaps else "environment"):
            outcome = agent.lanes.receive()
        self._sound = False
        with self._timed("other"):
            agent.observe(step, actions, outcome)
            self.step = outcome
            self.agent_steps += agent.lanes.num_lanes
            finished = self.episodes.update(outcome)
            self._sound = True
            for number, episode in enumerate(finished, self.episodes.finished - len(finished) + 1):
                if is_recorded(number):
                    self._record_episode(number, episode)

    def _save_after(self, error: Exception) -> None:
        """Keep what was learned before something failed; the tick that failed is played anew.

        The lanes are then in the middle of it, so they start new episodes.
        """
        self._lanes_sound = False
        with suppress(Exception):  # the first error is the one to tell
            self.save()
            self.progress.note(
                f"saved at {self.agent_steps:,} steps; go on with: tengen resume {self.folder.path}"
            )

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._times[name] += time.perf_counter() - started

    def _seed(self, purpose: str, *numbers: int) -> int:
        """A seed of its own for every purpose, all derived from the run's one seed."""
        words = [self.config.seed, *purpose.encode(), *numbers]
        return int(np.random.SeedSequence(words).generate_state(1)[0]) & 0x7FFFFFFF

    # ---------------------------------------------------------------- what the user sees

    def _elapsed(self) -> float:
        """Seconds of training over all sessions of this run."""
        now = time.monotonic()
        self.seconds += now - self._clock
        self._clock = now
        return self.seconds

    def _record_episode(self, number: int, episode: Episode) -> None:
        self.folder.append_jsonl(
            "episodes.jsonl",
            {
                "episode": number,
                "agent_steps": self.agent_steps,
                "return": episode.score,
                "length": episode.length_steps,
                "seconds": round(self._elapsed(), 3),
            },
        )
        scalars = {"return/raw": episode.score, "return/length": float(episode.length_steps)}
        normalised = self.task.normalise(episode.score)
        if normalised is not None:
            scalars["return/human_normalised"] = normalised
        self.logger.scalars(scalars, self.agent_steps)

    def _log_if_due(self) -> None:
        if time.monotonic() - self._log_clock >= self.config.log_seconds:
            self._log()

    def _log(self) -> None:
        metrics = self.agent.metrics()
        passed = max(time.monotonic() - self._log_clock, 1e-9)
        rate = (self.agent_steps - self._log_steps) / passed
        pace = self.progress.pace.add(self.agent_steps - self._log_steps, passed)
        scalars = dict(metrics.scalars)
        total = sum(self._times.values()) or 1.0
        scalars |= {f"time/{name}": spent / total for name, spent in self._times.items()}
        scalars["speed/agent_steps_per_second"] = rate
        if self.task.frames_per_step > 1:
            scalars["speed/frames_per_second"] = rate * self.task.frames_per_step
        if self.episodes.recent_mean is not None:
            scalars["return/mean_100"] = self.episodes.recent_mean
        self.logger.scalars(scalars, self.agent_steps)
        self.folder.append_jsonl(
            "metrics.jsonl",
            {
                "agent_steps": self.agent_steps,
                "seconds": round(self._elapsed(), 3),
                **scalars,
            },
        )
        if self._logs % DETAIL_EVERY == 0:
            for tag, values in metrics.histograms.items():
                self.logger.histogram(tag, values, self.agent_steps)
            for tag, image in metrics.images.items():
                self.logger.image(tag, image, self.agent_steps)
        self.logger.flush()
        self.folder.set_status("running", agent_steps=self.agent_steps)
        self._show(scalars, rate, pace)
        self._logs += 1
        self._times = dict.fromkeys(self._times, 0.0)
        self._log_clock, self._log_steps = time.monotonic(), self.agent_steps

    def _show(self, scalars: Mapping[str, float], rate: float, pace: float) -> None:
        shown = {
            "return": self.episodes.recent_mean,
            "evaluation": self.last_evaluation,
            "loss": scalars.get("loss/td", scalars.get("loss/total")),
            "epsilon": scalars.get("exploration/epsilon"),
        }
        self.progress.line(
            describe(
                self.agent_steps,
                self.config.total_steps,
                rate,
                {k: v for k, v in shown.items() if v is not None},
                pace,
            )
        )

    # ---------------------------------------------------------------- evaluation

    def _evaluation_due(self) -> bool:
        every = self.config.evaluate_every
        return bool(every) and self.agent_steps // every > self.evaluated_at // every

    def _evaluate(self, interrupt: Interrupt) -> None:
        """Score the present policy. Training's random numbers are not used."""
        started = time.monotonic()
        self.progress.line(f"{self.agent_steps:,} steps: evaluating", force=True)
        if self.task.assess is not None:
            found = self.task.assess(self.agent_steps, interrupt)
        else:
            found = self._play_episodes(interrupt)
        spent = time.monotonic() - started
        self._log_clock += spent  # evaluation does not count in the training rate
        if found is None:
            return
        self.evaluated_at, self.last_evaluation = self.agent_steps, found.best_by
        self.logger.scalars(found.scalars, self.agent_steps)
        self.folder.append_jsonl(
            "evaluations.jsonl",
            {
                "agent_steps": self.agent_steps,
                "seconds": round(self._elapsed(), 3),
                "environment": self.task.environment,
                "protocol": self.task.protocol,
                "scores": found.scores,
                "mean": float(np.mean(found.scores)),
                "human_normalised": self.task.normalise(float(np.mean(found.scores))),
                **found.scalars,
            },
        )
        self.progress.note(f"{self.agent_steps:,} steps: {found.text}, {duration(spent)}")
        if self.best_evaluation is None or found.best_by > self.best_evaluation:
            self.best_evaluation = found.best_by
            self.save(best_score=found.best_by)

    def _play_episodes(self, interrupt: Interrupt) -> Assessment | None:
        """Whole episodes in lanes of their own."""
        wanted = self.config.evaluate_episodes
        lanes = self.task.evaluation_lanes(min(wanted, EVALUATION_LANES))
        frames: list[np.ndarray] = []

        def watch(step: Step, actions: np.ndarray) -> None:
            if (
                lanes.observation_spec.is_image
                and len(frames) < ANIMATION_FRAMES * ANIMATION_STRIDE
            ):
                frames.append(step.observation[0].copy())

        try:
            seed = self._seed("evaluation", self.agent_steps)
            policy = self.agent.evaluation_policy(lanes.num_lanes, seed)
            bound = self.config.evaluate_max_steps
            episodes = play_episodes(lanes, policy, wanted, seed, watch, interrupt, bound)
        finally:
            lanes.close()
        if len(episodes) < wanted:
            return None
        scores = [episode.score for episode in episodes]
        mean = float(np.mean(scores))
        scalars = {"evaluation/mean": mean, "evaluation/median": float(np.median(scores))}
        scalars["evaluation/cut_episodes"] = sum(episode.cut for episode in episodes)
        normalised = self.task.normalise(mean)
        if normalised is not None:
            scalars["evaluation/human_normalised"] = normalised
        if frames and self.config.video:
            self.logger.animation(
                "evaluation/video", frames[::ANIMATION_STRIDE], 15, self.agent_steps
            )
        text = f"evaluation {mean:.2f} (mean of {len(scores)} episodes{cut_note(episodes)})"
        return Assessment(scores, mean, scalars, text)

    # ---------------------------------------------------------------- saving and resuming

    def _checkpoint_if_due(self) -> None:
        due = time.monotonic() - self._save_clock >= self.config.checkpoint_seconds
        if due or self.agent.needs_checkpoint():
            self.save()

    def save(self, best_score: float | None = None) -> Path:
        """Write a checkpoint of everything.

        Raises:
            DivergedError: a weight is not finite; such weights are not saved.
            UserError: the disk is full or the folder is gone; earlier checkpoints stay.
        """
        state = self.state_dict()
        require_finite(state)
        path = checkpoint.save(
            self.folder.checkpoints,
            self.agent_steps,
            state,
            identity=self.identity,
            keep=self.config.keep_checkpoints,
            best_score=best_score,
        )
        self._save_clock = time.monotonic()
        return path

    def state_dict(self) -> dict[str, Any]:
        """The whole run: the agent's parts, the lanes and the trainer's own counters."""
        assert self.step is not None
        lanes = self.agent.lanes
        trainer = {
            "agent_steps": self.agent_steps,
            "seconds": self._elapsed(),
            "episodes": self.episodes.state_dict(),
            "evaluated_at": self.evaluated_at,
            "last_evaluation": self.last_evaluation,
            "best_evaluation": self.best_evaluation,
            "step": dict(vars(self.step)),
            "torch_rng": torch.get_rng_state(),
        }
        return {
            **self.agent.state_dict(),
            "trainer": trainer,
            "arithmetic": self.arithmetic.state_dict(),
            "lanes": lanes.state_dict() if lanes.restorable and self._lanes_sound else {},
        }

    def restore(self, state: Mapping[str, Any], *, fresh_replay: bool = False) -> None:
        """Continue from a checkpoint's state.

        Lanes that cannot be restored start new episodes: the cut ones are stored as truncated.

        Args:
            state: from ``state_dict``.
            fresh_replay: leave the stored experience behind.
        """
        trainer = state["trainer"]
        parts = {
            name: part for name, part in state.items() if not (fresh_replay and name == "replay")
        }
        self.agent.load_state_dict(parts)
        self.agent_steps = int(trainer["agent_steps"])
        self.seconds = float(trainer["seconds"])
        self.episodes.load_state_dict(trainer["episodes"])
        self.evaluated_at = int(trainer["evaluated_at"])
        self.last_evaluation = trainer["last_evaluation"]
        self.best_evaluation = trainer["best_evaluation"]
        last = Step(**{name: np.asarray(value) for name, value in trainer["step"].items()})
        if self.agent.lanes.restorable and state["lanes"] and not fresh_replay:
            self.agent.lanes.reset(self._seed("lanes"))
            self.agent.lanes.load_state_dict(state["lanes"])
            self.step = last
        else:
            if not fresh_replay:
                self.agent.lanes_restarted(last)
            self.episodes.drop_unfinished()
            self.step = self.agent.lanes.reset(self._seed("lanes", self.agent_steps))
        for name in ("episodes.jsonl", "metrics.jsonl", "evaluations.jsonl"):
            self.folder.truncate_jsonl(name, self.agent_steps)
        self._restored = True
        # Last, because building and loading may have drawn random numbers.
        torch.set_rng_state(torch.as_tensor(trainer["torch_rng"]))
