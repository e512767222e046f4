"""What a task of generation is: data to be like, and a judge of samples.

Legend: B samples of a batch, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from core.learner import Arithmetic
from networks.base import Generator, Growth
from tasks.problem import Stop

AT_ONCE = 250
"""Samples of one forward pass when scoring."""


@dataclass(frozen=True)
class Judged:
    """What samples are worth."""

    best_by: float
    """Higher is better."""
    scores: dict[str, float]
    """By name, the most important first."""
    line: str
    """The same for the user."""
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    """By name, uint8 [H, W] or [H, W, 3]."""
    film: list[np.ndarray] = field(default_factory=list)
    """Frames, uint8 [H, W] or [H, W, 3]."""


class Maker:
    """Draws samples of a generator; the same ones each time, and training's random numbers stay."""

    def __init__(
        self, generator: Generator, arithmetic: Arithmetic, growth: Growth | None,
        truncation: float, seed: int,
    ) -> None:  # fmt: skip
        """Args:
        generator: the one to be judged; set to evaluation.
        arithmetic: where it runs.
        growth: how far it has grown; None for fully.
        truncation: 0 to 1.
        seed: of the noise.
        """
        self.generator = generator.eval()
        self.arithmetic = arithmetic
        self.growth = growth
        self.truncation = truncation
        self.seed = seed

    def draw(self, count: int, stop: Stop) -> np.ndarray | None:
        """Samples float32 [N, ...]; None where it was stopped."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            batches = []
            for first in range(0, count, AT_ONCE):
                if stop():
                    return None
                noise = torch.randn(min(AT_ONCE, count - first), self.generator.noise_features)
                batches.append(self._made(noise).cpu().numpy())
        return np.concatenate(batches)

    def of_noise(self, noise: np.ndarray) -> np.ndarray:
        """Samples of noise float [N, Z]."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return self._made(torch.from_numpy(noise).float()).cpu().numpy()

    @torch.no_grad()
    def _made(self, noise: Tensor) -> Tensor:
        noise = noise.to(self.arithmetic.device)
        return self.generator.sample(noise, self.growth, self.truncation)


class Target(Protocol):
    """Data that samples shall be like."""

    shape: tuple[int, ...]
    """Of a sample."""

    def draw(self, number: int, count: int) -> np.ndarray:
        """Batch number `number` of the data, float32 [B, ...]."""

    def judge(
        self, maker: Maker, arithmetic: Arithmetic, held_out: str, stop: Stop
    ) -> Judged | None:
        """What a generator is worth beside held-out data, 'validation' or 'test'; None where it
        was stopped."""

    def weights(self) -> dict[str, Tensor]:
        """What the judge has learned, to be kept with the generator; maybe nothing."""

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Judge as it was saved. Raises UserError for another judge's weights."""

    def identity(self) -> dict[str, Any]:
        """What must be the same when training goes on, and when the generator is scored."""

    def describe(self) -> list[str]:
        """The data in a few lines."""
