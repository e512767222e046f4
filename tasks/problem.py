"""What a supervised task adds to the parts that all share.

Legend: B examples of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from core.agent import Assessment
from core.learner import Arithmetic

Stop = Callable[[], bool]
"""True once the user asked to stop."""


@dataclass(frozen=True)
class Scored:
    """What a network is worth on the test part of its data."""

    scores: dict[str, float]
    """By name, the most important first."""
    lines: list[str]
    """The same for the user."""
    details: dict[str, Any] = field(default_factory=dict)
    """As JSON holds it: a confusion matrix, samples."""
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    """By name, uint8 [H, W] or [H, W, 3]."""
    film: list[np.ndarray] = field(default_factory=list)
    """Frames of the same form, to be seen in a loop."""


class Problem(Protocol):
    """Data, the network they need, the loss, and how the network is scored."""

    num_examples: int
    """To learn from."""

    def build_network(self) -> nn.Module:
        """The network that the options ask for, with fresh weights."""

    def batch(self, examples: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Examples by their numbers, int64 [B], as arrays with a leading axis of B."""

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and metrics of it."""

    def validate(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Assessment | None:
        """The score on the validation part; None where it was stopped. The network is in
        evaluation mode."""

    def test(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Scored | None:
        """The score on the test part; None where it was stopped."""

    def pictures(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Worth a look while training, uint8: the batch, and what validation found."""

    def identity(self) -> dict[str, Any]:
        """What must be the same when training goes on, and when the network is scored."""

    def describe(self) -> list[str]:
        """The data in a few lines: how many, from where, under which licence."""


def standard_error(right: int, count: int) -> float:
    """Of a share of right answers; a wrong and a right one more keep it from being 0."""
    share = (right + 1) / (count + 2)
    return float(np.sqrt(share * (1 - share) / count))
