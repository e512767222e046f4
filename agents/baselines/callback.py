"""Records a training run of stable-baselines3 in the same files as one of ours."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from agents.baselines.policy import SB3Policy
from core.agent import Task
from core.atomic import replace_file
from core.config import RunConfig
from core.episodes import is_recorded
from core.evaluation import Episode, cut_note, play_episodes
from core.interrupt import Interrupt
from core.json_files import disk_errors
from core.lanes import Step
from core.learner import DivergedError
from core.logging import RunLogger
from core.progress import Progress, describe, duration
from core.run_folder import RunFolder

EVALUATION_LANES = 8
ANIMATION_FRAMES = 240
ANIMATION_STRIDE = 2
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


class RunRecorder(BaseCallback):
    """Logs, evaluates and saves between the steps of the library's own loop."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        task: Task,
        progress: Progress,
        logger: RunLogger,
        interrupt: Interrupt,
        loss_tag: str,
        evaluation_epsilon: float,
    ) -> None:
        """Args:
        folder: locked by the caller.
        config: how often.
        task: how to score.
        progress: where the user looks.
        logger: TensorBoard.
        interrupt: ends training once a stop was asked for.
        loss_tag: what the library's ``train/loss`` is here.
        evaluation_epsilon: chance of a random action when scored.
        """
        super().__init__()
        self.folder = folder
        self.config = config
        self.task = task
        self.progress = progress
        self.events = logger
        self.interrupt = interrupt
        self.tags = TAGS | {"train/loss": loss_tag}
        self.evaluation_epsilon = evaluation_epsilon
        self.seconds = 0.0
        self.evaluated_at = 0
        self.last_evaluation: float | None = None
        self.episodes = 0

    @property
    def is_good_enough(self) -> bool:
        """True when an evaluation reached the score that was wanted."""
        score = self.last_evaluation
        return score is not None and score >= self.config.stop_at_score

    def continue_from(self, agent_steps: int) -> None:
        """Drop what was recorded after the model was saved, and go on with the rest."""
        for name in ("episodes.jsonl", "metrics.jsonl", "evaluations.jsonl"):
            self.folder.truncate_jsonl(name, agent_steps)
        for record in self.folder.read_jsonl("metrics.jsonl")[-1:]:
            self.seconds = float(record["seconds"])
        for record in self.folder.read_jsonl("episodes.jsonl")[-1:]:
            self.episodes = int(record["episode"])
        for record in self.folder.read_jsonl("evaluations.jsonl")[-1:]:
            self.evaluated_at = int(record["agent_steps"])
            self.last_evaluation = float(record["mean"])

    # ---------------------------------------------------------------- called by the library

    def _on_training_start(self) -> None:
        self._clock = self._log_clock = self._save_clock = time.monotonic()
        self._log_steps = self.num_timesteps
        self.folder.set_status("running", agent_steps=self.num_timesteps)

    def _on_step(self) -> bool:
        """After every vector step. False ends training."""
        for info in self.locals["infos"]:
            if "episode" in info:
                self._record_episode(info["episode"])
        now = time.monotonic()
        if now - self._log_clock >= self.config.log_seconds:
            self.log()
        every = self.config.evaluate_every
        if every and self.num_timesteps // every > self.evaluated_at // every:
            self.evaluate()
        if now - self._save_clock >= self.config.checkpoint_seconds:
            self.save()
        return not (self.interrupt.requested or self.is_good_enough)

    # ---------------------------------------------------------------- what the user sees

    def _elapsed(self) -> float:
        now = time.monotonic()
        self.seconds += now - self._clock
        self._clock = now
        return self.seconds

    def _record_episode(self, episode: Mapping[str, float]) -> None:
        score, length = float(episode["r"]), int(episode["l"])
        self.episodes += 1
        if not is_recorded(self.episodes):
            return
        self.folder.append_jsonl(
            "episodes.jsonl",
            {
                "episode": self.episodes,
                "agent_steps": self.num_timesteps,
                "return": score,
                "length": length,
                "seconds": round(self._elapsed(), 3),
            },
        )
        scalars = {"return/raw": score, "return/length": float(length)}
        normalised = self.task.normalise(score)
        if normalised is not None:
            scalars["return/human_normalised"] = normalised
        self.events.scalars(scalars, self.num_timesteps)

    def log(self) -> None:
        """One point of every curve.

        Raises:
            DivergedError: the loss is not finite.
        """
        values = self.model.logger.name_to_value  # kept by the library until it prints them
        self._require_finite()
        scalars = {
            ours: float(values[theirs]) for theirs, ours in self.tags.items() if theirs in values
        }
        passed = max(time.monotonic() - self._log_clock, 1e-9)
        rate = (self.num_timesteps - self._log_steps) / passed
        pace = self.progress.pace.add(self.num_timesteps - self._log_steps, passed)
        scalars["speed/agent_steps_per_second"] = rate
        if self.task.frames_per_step > 1:
            scalars["speed/frames_per_second"] = rate * self.task.frames_per_step
        recent = self.model.ep_info_buffer
        if recent:
            scalars["return/mean_100"] = float(np.mean([info["r"] for info in recent]))
        self.events.scalars(scalars, self.num_timesteps)
        self.events.flush()
        self.folder.append_jsonl(
            "metrics.jsonl",
            {"agent_steps": self.num_timesteps, "seconds": round(self._elapsed(), 3), **scalars},
        )
        self.folder.set_status("running", agent_steps=self.num_timesteps)
        self._show(scalars, rate, pace)
        self._log_clock, self._log_steps = time.monotonic(), self.num_timesteps

    def _require_finite(self) -> None:
        loss = float(self.model.logger.name_to_value.get("train/loss", 0.0))
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss became {loss}: training diverged; what was saved before "
                f"stays in {self.folder.path / MODEL_NAME}"
            )

    def _show(self, scalars: Mapping[str, float], rate: float, pace: float) -> None:
        shown = {
            "return": scalars.get("return/mean_100"),
            "evaluation": self.last_evaluation,
            "loss": scalars.get(self.tags["train/loss"]),
            "epsilon": scalars.get("exploration/epsilon"),
        }
        self.progress.line(
            describe(
                self.num_timesteps,
                self.config.total_steps,
                rate,
                {k: v for k, v in shown.items() if v is not None},
                pace,
            )
        )

    # ---------------------------------------------------------------- evaluation and saving

    def evaluate(self) -> None:
        """Score the present policy as one of ours is scored, in lanes of its own."""
        wanted = self.config.evaluate_episodes
        lanes = self.task.evaluation_lanes(min(wanted, EVALUATION_LANES))
        is_image = lanes.observation_spec.is_image
        frames: list[np.ndarray] = []

        def watch(step: Step, actions: np.ndarray) -> None:
            if is_image and len(frames) < ANIMATION_FRAMES * ANIMATION_STRIDE:
                frames.append(step.observation[0].copy())

        started = time.monotonic()
        self.progress.line(
            f"{self.num_timesteps:,} steps: evaluating {wanted} episodes", force=True
        )
        words = [self.config.seed, self.num_timesteps]
        seed = int(np.random.SeedSequence(words).generate_state(1)[0]) & 0x7FFFFFFF
        try:
            policy = SB3Policy(
                self.model, lanes, np.random.default_rng(seed), self.evaluation_epsilon
            )
            bound = self.config.evaluate_max_steps
            episodes = play_episodes(lanes, policy, wanted, seed, watch, self.interrupt, bound)
        finally:
            lanes.close()
        spent = time.monotonic() - started
        self._log_clock += spent  # evaluation does not count in the training rate
        if len(episodes) == wanted:
            self._record_evaluation(episodes, frames[::ANIMATION_STRIDE], spent)

    def _record_evaluation(
        self, episodes: list[Episode], frames: list[np.ndarray], spent: float
    ) -> None:
        scores = [episode.score for episode in episodes]
        mean = float(np.mean(scores))
        self.evaluated_at, self.last_evaluation = self.num_timesteps, mean
        normalised = self.task.normalise(mean)
        scalars = {"evaluation/mean": mean, "evaluation/median": float(np.median(scores))}
        scalars["evaluation/cut_episodes"] = sum(episode.cut for episode in episodes)
        if normalised is not None:
            scalars["evaluation/human_normalised"] = normalised
        self.events.scalars(scalars, self.num_timesteps)
        if frames and self.config.video:
            self.events.animation("evaluation/video", frames, 15, self.num_timesteps)
        self.folder.append_jsonl(
            "evaluations.jsonl",
            {
                "agent_steps": self.num_timesteps,
                "seconds": round(self._elapsed(), 3),
                "environment": self.task.environment,
                "protocol": self.task.protocol,
                "scores": scores,
                "mean": mean,
                "human_normalised": normalised,
                "cut_episodes": scalars["evaluation/cut_episodes"],
            },
        )
        self.progress.note(
            f"{self.num_timesteps:,} steps: evaluation {mean:.2f} "
            f"(mean of {len(scores)} episodes{cut_note(episodes)}, {duration(spent)})"
        )

    def save(self) -> None:
        """Replace model.zip; the old one is there until the new one is whole.

        Raises:
            DivergedError: the loss is not finite; such weights are not saved.
            UserError: the disk is full.
        """
        self._require_finite()
        buffer = io.BytesIO()
        self.model.save(buffer)
        path = self.folder.path / MODEL_NAME
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
