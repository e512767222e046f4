"""What an agent gives the trainer, and what the trainer needs to know of the task.

An agent differs from another only in how it chooses actions, what it stores and what its loss is.
It contains no loop over time, writes no file and logs nothing: it is asked. Those that act on lanes
implement ``core.lane_agent.LaneAgent`` and are wrapped to advance by ticks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from core.evaluation import Episode


@dataclass
class Metrics:
    """What an agent reports when asked; names are TensorBoard tags."""

    scalars: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    images: dict[str, np.ndarray] = field(default_factory=dict)
    """uint8 [H, W] or [H, W, 3]."""
    texts: dict[str, str] = field(default_factory=dict)
    """Markdown."""


@dataclass(frozen=True)
class Assessment:
    """What an evaluation found."""

    scores: list[float]
    """Of each episode or game."""
    best_by: float
    """The number that says which checkpoint is best."""
    scalars: dict[str, float]
    """Names are TensorBoard tags."""
    text: str
    """One line for the user."""
    film: list[np.ndarray] = field(default_factory=list)
    """Frames worth a look, uint8 [H, W] or [H, W, 3]."""


Evaluate = Callable[[int, int, Callable[[], bool]], Assessment | None]
"""evaluate(agent_steps, seed, stop) scores what was learned so far: by episodes, matches, a loss;
None where it was stopped."""


@dataclass(frozen=True)
class Advanced:
    """What happened while an agent advanced."""

    agent_steps: int
    """Made."""
    episodes: list[Episode] = field(default_factory=list)
    """That ended."""


class Learning(Protocol):
    """What everything that learns can be asked."""

    def metrics(self) -> Metrics:
        """What happened since the last call. Raises DivergedError when the loss is not finite."""

    def needs_checkpoint(self) -> bool:
        """True when going on without a checkpoint would overwrite experience that the last one
        still refers to."""

    def state_dict(self) -> dict[str, Any]:
        """Everything, by part. ``network`` holds what evaluation needs: weights only."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with trained weights: the part ``network`` of another run's state.

        Raises UserError when they belong to another network."""


class Agent(Learning, Protocol):
    """A learner as the trainer drives it."""

    sound: bool
    """False while an update or a store is half done: what failed there is not worth saving."""

    def advance(self, agent_steps: int) -> Advanced:
        """Act and learn a little; ``agent_steps``, made so far, drive schedules."""

    def close(self) -> None:
        """Free what it acts on."""


@dataclass(frozen=True)
class Task:
    """What is trained on, as far as the trainer must know."""

    environment: str
    protocol: str
    """The rules under which scores count, stored with every result; '' where there are none."""
    frames_per_step: int
    """Emulator frames per agent step; 1 where there are none."""
    evaluate: Evaluate
    normalise: Callable[[float], float | None]
    """Raw score to human-normalised score, None where no human score is known."""
