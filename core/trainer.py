"""The loop that every learner runs in, and all that a user expects around it.

The agent advances; the trainer records, scores, saves and resumes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from core.agent import Agent, Task
from core.config import RunConfig
from core.episodes import FinishedEpisodes
from core.errors import UserError
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.learner import Arithmetic, DivergedError, require_finite
from core.machine import ranks
from core.machine.interrupt import Interrupt
from core.report.progress import Progress
from core.report.recorder import Recorder

SHARED = ("network", "learner", "target", "problem", "arithmetic")
"""Parts of a run's state that are the same in all its processes."""
RECENT = "return/mean_100"
FIRST_SAVES = 10
"""The first checkpoint comes after this part of the time between two, each next one after twice as
long: who tries a run out for a minute finds it where it was."""


class Trainer:
    """Trains one agent in one run folder. Each of several processes (`core/machine/ranks.py`) has
    one; all go through the loop together, and the first process evaluates, logs and saves."""

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
        self.episodes = FinishedEpisodes()
        self.record = Recorder(folder, config, task, progress)
        self._save_after = config.checkpoint_seconds / FIRST_SAVES
        self._restored = False
        self._started = False

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
                while not (self._finished() or self._is_asked_to_stop(interrupt)):
                    self._advance()
                    if self._on_any(self.record.log_is_due):
                        self._log()
                    if self.record.evaluation_is_due(self.agent_steps):
                        self._evaluate(interrupt)
                    if self._on_any(self._checkpoint_is_due()):
                        self.save()
                        self._save_after = min(2 * self._save_after, self.config.checkpoint_seconds)
                finished = self._finished()
                if finished and self.config.evaluate_every and not self._is_evaluated():
                    self._evaluate(interrupt)
                    finished = self._is_evaluated() or not self._is_asked_to_stop(interrupt)
                self._log(last=True)
                self.save()
            except DivergedError:
                self.folder.set_status("diverged", agent_steps=self.agent_steps)
                raise
            except Exception:
                # Several processes save together, and the others do not know.
                if self._started and self.agent.sound and ranks.count() == 1:
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

    def _is_evaluated(self) -> bool:
        """Whether the present policy was scored."""
        return self.record.evaluated_at == self.agent_steps

    def _start(self) -> None:
        self.record.open(
            self.agent_steps, resumed=self._restored, hyperparameters=self.hyperparameters
        )
        self._save_clock = time.monotonic()
        if not self._restored:
            if not ranks.leads():
                torch.manual_seed(ranks.own_seed(self.config.seed))
            self.save()
        self._started = True

    def _is_asked_to_stop(self, interrupt: Interrupt) -> bool:
        return self._on_any(interrupt() or self.progress.stop_requested)

    @staticmethod
    def _on_any(holds: bool) -> bool:
        """Whether something holds in one of the processes: what it leads to, all do."""
        return bool(ranks.sums(holds)[0])

    def _advance(self) -> None:
        advanced = self.agent.advance(self.agent_steps)
        self.agent_steps += ranks.sums(advanced.agent_steps)[0]
        for episode in advanced.episodes:
            self.record.episode(self.agent_steps, self.episodes.add(episode), episode)

    def _save_after_failure(self) -> None:
        """Keep what was learned before something failed; what failed is done anew."""
        with suppress(Exception):  # the first error is the one to tell
            self.save()
            way = f"tengen resume {self.folder.quoted}"
            self.progress.note(f"saved at {self.agent_steps:,} steps; go on with: {way}")

    # ---------------------------------------------------------------- records and scores

    @property
    def last_evaluation(self) -> float | None:
        """The newest score."""
        return self.record.last_evaluation

    @property
    def best_evaluation(self) -> float | None:
        """The best score; the checkpoint that has it is marked."""
        return self.record.best_evaluation

    def _log(self, last: bool = False) -> None:
        metrics, recent = self.agent.metrics(), self.episodes.recent_mean
        known = {} if recent is None else {RECENT: recent}
        metrics.scalars = ranks.means({**metrics.scalars, **known})
        self.record.log(self.agent_steps, metrics, metrics.scalars.pop(RECENT, None), last)

    def _evaluate(self, interrupt: Interrupt) -> None:
        """Score the present policy. Training's random numbers are not used."""
        is_best, record = ranks.led(
            lambda: (
                self.record.evaluate(self.agent_steps, interrupt),
                self.record.state_dict(),
            )
        )
        self.record.load_state_dict(record)
        if is_best:
            self.save(best_score=self.best_evaluation)

    # ---------------------------------------------------------------- saving and resuming

    def _checkpoint_is_due(self) -> bool:
        due = time.monotonic() - self._save_clock >= self._save_after
        return due or self.agent.needs_checkpoint()

    def save(self, best_score: float | None = None) -> Path:
        """Write a checkpoint of everything.

        Raises:
            DivergedError: a weight is not finite; such weights are not saved.
            UserError: the disk is full or the folder is gone; earlier checkpoints stay.
        """
        state = self.state_dict()
        require_finite(state)
        path = ranks.led(
            lambda: checkpoint.save(
                self.folder.checkpoints,
                self.agent_steps,
                state,
                identity=self.identity,
                keep=self.config.keep_checkpoints,
                best_score=best_score,
            )
        )
        self._save_clock = time.monotonic()
        return path

    def state_dict(self) -> dict[str, Any]:
        """The whole run: the agent's parts and the trainer's own counters. Of other processes, in
        `ranks`, what is their own."""
        trainer = {
            "agent_steps": self.agent_steps,
            **self.record.state_dict(),
            "episodes": self.episodes.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": _cuda_random_state(self.arithmetic.device),
        }
        state = {
            **self.agent.state_dict(),
            "trainer": trainer,
            "arithmetic": self.arithmetic.state_dict(),
        }
        if ranks.count() > 1:
            own = {name: part for name, part in state.items() if name not in SHARED}
            state["ranks"] = [{}, *ranks.all_of({} if ranks.leads() else own)[1:]]
        return state

    def restore(self, state: Mapping[str, Any], *, fresh_replay: bool = False) -> None:
        """Continue from a checkpoint's state.

        Args:
            state: from ``state_dict``.
            fresh_replay: leave the stored experience behind; lanes begin anew, as it does.

        Raises:
            UserError: it was made by another number of processes.
        """
        others = state.get("ranks", [{}])
        if len(others) != ranks.count():
            raise UserError(
                f"{self.folder.path} was trained by {len(others)} processes, here are "
                f"{ranks.count()}; go on with: "
                f"{ranks.command(f'resume {self.folder.quoted}', len(others))}"
            )
        state = {**state, **others[ranks.rank()]}
        trainer = state["trainer"]
        left = ("replay", "lanes") if fresh_replay else ()
        self.agent.load_state_dict({name: state[name] for name in state if name not in left})
        self.agent_steps = int(trainer["agent_steps"])
        self.record.load_state_dict(trainer)
        self.episodes.load_state_dict(trainer["episodes"])
        self._restored = True
        # Last, because building and loading may have drawn random numbers.
        torch.set_rng_state(torch.as_tensor(trainer["torch_rng"]))
        on_gpu = torch.as_tensor(trainer.get("cuda_rng", ()))  # older checkpoints have none
        if len(on_gpu) and torch.device(self.arithmetic.device).type == "cuda":
            torch.cuda.set_rng_state(on_gpu, self.arithmetic.device)


def _cuda_random_state(device: str) -> torch.Tensor:
    """The state of a GPU's random stream, uint8; empty for other devices."""
    if torch.device(device).type != "cuda":
        return torch.zeros(0, dtype=torch.uint8)
    return torch.cuda.get_rng_state(device)
