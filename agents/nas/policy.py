"""What turns decisions made so far into the next one, and learns: the contract.

Legend: B designs, T tokens of each, K options at most, n tokens of a stage (1, but for anchors).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from envs.architecture.space import Anchor, Space, stages_of


@dataclass(frozen=True)
class Batch:
    """Designs as they were drawn."""

    tokens: np.ndarray
    """int64 [B, T]."""
    legal: np.ndarray
    """What was allowed, bool [B, T, K]."""
    log_probability: np.ndarray
    """Of each design then, float64 [B]."""
    utility: np.ndarray
    """What each is worth, float64 [B]; zeros before it is known."""


class Policy(Protocol):
    """Logits one stage after the other. Columns beyond a decision's options hold anything."""

    def start(self, count: int) -> Any:
        """What is remembered of so many designs before their first stage."""

    def step(self, memory: Any, stage: int, last: np.ndarray) -> np.ndarray:
        """Logits of a stage, squashed, float [B, n, K]; ``memory`` is updated.

        Args:
            memory: from ``start``, brought here by the stages before.
            stage: its number; all are asked for in order.
            last: tokens of the stage before, int64 [B, n of that stage]; unread at stage 0.
        """

    def learn(self, batch: Batch, advantage: np.ndarray) -> np.ndarray:
        """One step of Adam; ``advantage`` float64 [B].

        Returns:
            Entropy of each token's softmax before it, in nats, on average over designs; float [T].
        """

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimiser, copied."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""


def most_options(space: Space) -> int:
    """K: options of the decision that has most."""
    return max(len(stage.options) for stage in space.stages)


def anchor_places(space: Space, length: int) -> tuple[list[int], int]:
    """Tokens of a design of this length that answer at anchor points, and how many points."""
    anchors = [(at, s) for at, s in stages_of(space, length) if isinstance(s, Anchor)]
    return [at + i for at, stage in anchors for i in range(stage.num_tokens)], len(anchors)
