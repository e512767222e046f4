"""Records a training run of stable-baselines3 in the same files as one of ours."""

from __future__ import annotations

import io
import math
import time

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from agents.baselines.config import SB3Config, SB3DQNConfig
from core.agent import Metrics
from core.evaluation import Episode
from core.files.atomic import replace_file
from core.files.json_files import disk_errors
from core.learner import DivergedError
from core.machine.interrupt import Interrupt
from core.report.recorder import Recorder

MODEL_NAME = "model.zip"

TAGS = {
    "rollout/exploration_rate": "exploration/epsilon",
    "train/learning_rate": "optimiser/learning_rate",
    "train/policy_gradient_loss": "loss/policy",
    "train/value_loss": "loss/value",
    "train/entropy_loss": "loss/entropy",
    "train/approx_kl": "policy/approximate_kl",
    "train/clip_fraction": "policy/clip_fraction",
    "train/explained_variance": "value/explained_variance",
}
"""That library's names of what both log, and ours."""


class RecordedRun(BaseCallback):
    """Logs, evaluates and saves between the steps of the library's own loop."""

    def __init__(self, config: SB3Config, record: Recorder, interrupt: Interrupt) -> None:
        """Args:
        config: options of the run.
        record: open, of the run's folder.
        interrupt: ends training once a stop was asked for.
        """
        super().__init__()
        self.record = record
        self.interrupt = interrupt
        loss = "loss/td" if isinstance(config, SB3DQNConfig) else "loss/total"
        self.tags = TAGS | {"train/loss": loss}
        self.episodes = 0

    def continue_recording(self) -> None:
        """Take the counters from what was recorded until the model was saved."""
        folder, record = self.record.folder, self.record
        for row in folder.read_jsonl("metrics.jsonl")[-1:]:
            record.seconds = float(row["seconds"])
            self.episodes = int(row.get("return/episodes", 0))
        evaluations = folder.read_jsonl("evaluations.jsonl")
        for row in evaluations[-1:]:
            record.evaluated_at = int(row["agent_steps"])
            record.last_evaluation = float(row["mean"])
        record.best_evaluation = max((float(row["mean"]) for row in evaluations), default=None)

    # ---------------------------------------------------------------- called by the library

    def _on_training_start(self) -> None:
        self._save_clock = time.monotonic()
        if not (self.record.folder.path / MODEL_NAME).exists():
            self._write()  # a run that is killed early can go on

    def _on_step(self) -> bool:
        """After every vector step. False ends training."""
        for info in self.locals["infos"]:
            if "episode" in info:
                self.episodes += 1
                episode = Episode(float(info["episode"]["r"]), int(info["episode"]["l"]))
                self.record.episode(self.num_timesteps, self.episodes, episode)
        if self.record.log_is_due:
            self.log()
        if self.record.evaluation_is_due(self.num_timesteps):
            self.evaluate()
        if time.monotonic() - self._save_clock >= self.record.config.checkpoint_seconds:
            self.save()
        stopping = self.interrupt.requested or self.record.progress.stop_requested
        return not (stopping or self.record.is_good_enough)

    # ---------------------------------------------------------------- what the user sees

    def log(self) -> None:
        """One point of every curve.

        Raises:
            DivergedError: the loss is not finite.
        """
        values = self.model.logger.name_to_value  # kept by the library until it prints them
        loss = float(values.get("train/loss", 0.0))
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss became {loss}: training diverged; what was saved before "
                f"stays in {self.record.folder.path / MODEL_NAME}"
            )
        scalars = {
            ours: float(values[theirs]) for theirs, ours in self.tags.items() if theirs in values
        }
        recent = [info["r"] for info in self.model.ep_info_buffer or ()]
        mean = float(np.mean(recent)) if recent else None
        scalars["return/episodes"] = float(self.episodes)
        self.record.log(self.num_timesteps, Metrics(scalars), mean)

    def evaluate(self) -> None:
        """Score the present policy as one of ours is scored, in lanes of its own."""
        self.record.evaluate(self.num_timesteps, self.interrupt)

    def save(self) -> None:
        """Replace model.zip; the old one is there until the new one is whole.

        Raises:
            DivergedError: the loss is not finite; such weights are not saved.
            UserError: the disk is full.
        """
        self.log()  # so that the counters in the records are those of the model
        self._write()

    def _write(self) -> None:
        buffer = io.BytesIO()
        self.model.save(buffer)
        path = self.record.folder.path / MODEL_NAME
        with disk_errors("write", path):
            replace_file(path, [buffer.getbuffer()])
        self._save_clock = time.monotonic()


class RefillReplay(BaseCallback):
    """After a resume, fills the empty replay memory with the policy's own play before it learns.

    Without this the library would learn from the first few transitions over and over.
    """

    def __init__(self, refill_steps: int, train_freq: int) -> None:
        """Args:
        refill_steps: vector steps to be made before the first update.
        train_freq: vector steps between updates after that.
        """
        super().__init__()
        self.refill_steps = refill_steps
        self.train_freq = train_freq

    def _set(self, steps: int) -> None:
        assert isinstance(self.model, OffPolicyAlgorithm)
        # What the library makes of the numbers that its constructor takes.
        self.model.train_freq = TrainFreq(  # type: ignore[assignment]
            steps, TrainFrequencyUnit.STEP
        )

    def _on_training_start(self) -> None:
        self._set(max(self.refill_steps, self.train_freq))

    def _on_rollout_end(self) -> None:
        self._set(self.train_freq)

    def _on_step(self) -> bool:
        return True
