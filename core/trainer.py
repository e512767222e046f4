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
from core.episodes import EpisodeTracker
from core.evaluation import Policy
from core.interrupt import Interrupt
from core.lanes import Lanes, Step, restored_step, standing_actions
from core.learner import Arithmetic, DivergedError, require_finite
from core.progress import Progress
from core.recorder import Recorder
from core.run_folder import RunFolder


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
        self.episodes = EpisodeTracker(agent.lanes.num_lanes)
        self.record = Recorder(folder, config, task, progress)
        self.step: Step | None = None
        self.actions = np.zeros(agent.lanes.num_lanes, dtype=np.int64)
        self._restored = False
        self._sound = False
        self._lanes_sound = True
        self._times = dict.fromkeys(("acting", "learning", "environment", "waiting", "other"), 0.0)

    # ---------------------------------------------------------------- the loop

    def run(self) -> str:
        """Train until the end, or until a signal or the callback of ``progress`` asks to stop;
        return 'finished' or 'stopped'.

        Raises:
            DivergedError: the loss or a weight is not finite; the last good checkpoint stays.
            UserError: a checkpoint cannot be written, or an environment failed: what was learned
                until then is saved.
        """
        with Interrupt() as interrupt:
            try:
                self._start()
                while not (self._finished() or interrupt() or self.progress.stop_requested):
                    self._tick()
                    if self.record.log_is_due:
                        self._log()
                    if self.record.evaluation_is_due(self.agent_steps):
                        self._evaluate(interrupt)
                    self._checkpoint_if_due()
                finished = self._finished()
                evaluated = self.record.evaluated_at == self.agent_steps
                if finished and self.config.evaluate_every and not evaluated:
                    self._evaluate(interrupt)
                self._log()
                self.save()
            except DivergedError:
                self.folder.set_status("diverged", agent_steps=self.agent_steps)
                raise
            except Exception:
                if self._sound:
                    self._save_after_failure()
                self.folder.set_status("failed", agent_steps=self.agent_steps)
                raise
            finally:
                self.record.close()
        state = "finished" if finished else "stopped"
        self.folder.set_status(state, agent_steps=self.agent_steps)
        return state

    def _finished(self) -> bool:
        """All steps are made, or the newest evaluation is as good as was wanted."""
        return self.record.is_good_enough or self.agent_steps >= self.config.total_steps

    def _start(self) -> None:
        self.record.open(
            self.agent_steps, resumed=self._restored, hyperparameters=self.hyperparameters
        )
        if self.step is None:
            self.step = self.agent.lanes.reset(self._seed("lanes"))
        self._save_clock = time.monotonic()
        if not self._restored:
            self.save()
        self._sound = True

    def _tick(self) -> None:
        agent, step = self.agent, self.step
        assert step is not None
        with self._timed("acting"):
            chosen = agent.act(step, self.agent_steps)
            self.actions = actions = standing_actions(step, chosen, self.actions)
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
            self.agent_steps += int(np.count_nonzero(~outcome.busy))
            finished = self.episodes.update(outcome)
            self._sound = True
            for number, episode in enumerate(finished, self.episodes.finished - len(finished) + 1):
                self.record.episode(self.agent_steps, number, episode)

    def _save_after_failure(self) -> None:
        """Keep what was learned before something failed; the tick that failed is played anew.

        The lanes are then in the middle of it, so they start new episodes.
        """
        self._lanes_sound = False
        with suppress(Exception):  # the first error is the one to tell
            self.save()
            way = f"tengen resume {self.folder.quoted}"
            self.progress.note(f"saved at {self.agent_steps:,} steps; go on with: {way}")

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._times[name] += time.perf_counter() - started

    def _seed(self, purpose: str, *numbers: int) -> int:
        """A seed of its own for every purpose, all derived from the run's one seed."""
        words = [self.config.seed, *purpose.encode(), *numbers]
        return int(np.random.SeedSequence(words).generate_state(1)[0]) & 0x7FFFFFFF

    # ---------------------------------------------------------------- records and scores

    @property
    def last_evaluation(self) -> float | None:
        """The newest score."""
        return self.record.last_evaluation

    @property
    def best_evaluation(self) -> float | None:
        """The best score; the checkpoint that has it is marked."""
        return self.record.best_evaluation

    def _log(self) -> None:
        metrics = self.agent.metrics()
        total = sum(self._times.values()) or 1.0
        metrics.scalars |= {f"time/{name}": spent / total for name, spent in self._times.items()}
        self.record.log(self.agent_steps, metrics, self.episodes.recent_mean)
        self._times = dict.fromkeys(self._times, 0.0)

    def _evaluate(self, interrupt: Interrupt) -> None:
        """Score the present policy. Training's random numbers are not used."""

        def assess() -> Assessment | None:
            if self.task.assess is not None:
                return self.task.assess(self.agent_steps, interrupt)

            def policy(lanes: Lanes, seed: int) -> Policy:
                return self.agent.evaluation_policy(lanes.num_lanes, seed)

            seed = self._seed("evaluation", self.agent_steps)
            return self.record.play_episodes(self.agent_steps, policy, seed, interrupt)

        if self.record.evaluate(self.agent_steps, assess):
            self.save(best_score=self.best_evaluation)

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
            **self.record.state_dict(),
            "episodes": self.episodes.state_dict(),
            "step": dict(vars(self.step)),
            "actions": self.actions,
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
        self.record.load_state_dict(trainer)
        self.episodes.load_state_dict(trainer["episodes"])
        last = restored_step(trainer["step"])
        self.actions = np.asarray(trainer.get("actions", self.actions))
        if self.agent.lanes.restorable and state["lanes"] and not fresh_replay:
            self.agent.lanes.reset(self._seed("lanes"))
            self.agent.lanes.load_state_dict(state["lanes"])
            self.step = last
        else:
            self.agent.lanes_restarted(last)
            self.episodes.drop_unfinished()
            self.step = self.agent.lanes.reset(self._seed("lanes", self.agent_steps))
        self._restored = True
        # Last, because building and loading may have drawn random numbers.
        torch.set_rng_state(torch.as_tensor(trainer["torch_rng"]))
