"""Options that all supervised tasks share. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from core.config import RunConfig, free, locked, warn
from core.errors import UserError
from core.schedule import check_schedule


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained. A step of the run is one example."""

    batch_size: int = locked(64, at_least=1)
    """Examples per update."""
    epochs: float = free(10.0, over=0, at_most=1e6)
    """Times that every example is seen; --total-steps, which counts examples, goes before it."""
    optimiser: Literal["sgd", "adam", "adamw", "rmsprop", "rmsprop_torch"] = locked("adamw")
    """rmsprop is DQN's (centred, epsilon inside the root), rmsprop_torch torch's."""
    learning_rate: float = warn(1e-3, over=0)
    """Highest step size of the optimiser."""
    schedule: Literal["constant", "linear", "cosine", "step", "inverse_sqrt"] = warn("cosine")
    """How the learning rate falls after the warm-up."""
    warmup: float = warn(0.05, at_least=0, under=1)
    """Share of the run in which the learning rate climbs from 0."""
    weight_decay: float = locked(0.0, at_least=0)
    """Of matrices and convolutions; biases and normalisation have none."""
    momentum: float = locked(0.9, at_least=0, under=1)
    """Of sgd and rmsprop_torch."""
    nesterov: bool = locked(False)
    """For sgd, look ahead along the momentum."""
    beta2: float = locked(0.999, at_least=0, under=1)
    """Decay of adam's and adamw's second moment, a step."""
    optimiser_epsilon: float = locked(1e-8, over=0)
    """Constant in the optimiser's denominator."""
    max_gradient_norm: float = warn(0.0, at_least=0)
    """Clip the gradient to this norm; 0 for not at all."""
    label_smoothing: float = warn(0.0, at_least=0, under=1)
    """Share of the target given to all classes alike (Szegedy et al. 2016)."""

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        check_schedule(self.schedule, self.warmup)
        if self.nesterov and (self.optimiser != "sgd" or not self.momentum):
            raise UserError("--nesterov is for --optimiser sgd with a --momentum")
        if self.weight_decay and self.optimiser == "rmsprop":
            raise UserError("--optimiser rmsprop has no --weight-decay; rmsprop_torch has")


def scheduled_run(run: RunConfig, training: TrainingConfig, examples: int) -> RunConfig:
    """The run's options with its epochs in steps, and an evaluation after each epoch.

    What the user gave in steps (--total-steps, --evaluate-every) goes before that.
    """
    default = RunConfig()
    changes: dict[str, int] = {}
    if run.total_steps == default.total_steps:
        changes["total_steps"] = max(1, round(training.epochs * examples))
    if run.evaluate_every == default.evaluate_every:
        changes["evaluate_every"] = examples
    return replace(run, **changes)  # type: ignore[arg-type]


def check_vocabulary(tokenizer: str, vocabulary: int) -> None:
    """Raise UserError for a number of tokens that byte pairs cannot have."""
    if tokenizer == "bpe" and not 256 <= vocabulary <= 1_000_000:
        raise UserError(f"--vocabulary must be 256 (the bytes) to 1000000, got {vocabulary}")


def short_name(data: str) -> str:
    """What results call a data set: its name, or the last part of its path."""
    return data.rstrip("/").rpartition("/")[2] or data
