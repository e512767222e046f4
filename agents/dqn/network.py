"""Q(s, a) for all actions at once: a torso and a linear head, or two streams; or of the return of
each action a distribution.

Legend: B batch, A actions, Z numbers that describe a return (1, atoms, quantiles), G 1 or B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from agents.dqn.iqn import FractionEmbedding
from agents.dqn.noisy import Stream, draw_noise
from agents.dqn.quantile import midpoints
from core.lanes import ObservationSpec
from networks.normaliser import build_normaliser
from networks.registry import build_torso
from networks.torso import full_precision

STREAM_GRADIENT = 2**-0.5
"""What both streams send back is scaled by this as it enters the torso (Wang et al. 2016,
section 4.2)."""


@dataclass(frozen=True)
class Returns:
    """How a network describes the return of an action."""

    kind: Literal["none", "c51", "quantile", "iqn"] = "none"
    """Its mean; logits of atoms; quantiles of fixed fractions, or of any."""
    size: int = 1
    """Z: atoms, quantiles, or fractions that iqn averages to choose an action (K)."""
    low: float = 0.0
    high: float = 0.0
    """The first and the last atom of c51."""


@dataclass(frozen=True)
class Draws:
    """Random numbers of one forward; None for the mean weights, and for evenly spaced fractions."""

    noise: Tensor | None = None
    """float [G, noise_size]."""
    fractions: Tensor | None = None
    """float [B, N]."""


NO_DRAWS = Draws()


class QNetwork(nn.Module):
    """Observations [B, ...] -> action values [B, A], or what they are the means of."""

    def __init__(
        self,
        torso: str,
        spec: ObservationSpec,
        num_actions: int,
        *,
        dueling: bool,
        hidden: Sequence[int] = (),
        normalise: bool = False,
        returns: Returns | None = None,
        sigma: float = 0.0,
    ) -> None:
        """Args:
        torso: name in the network registry, or 'auto'.
        spec: the observations.
        num_actions: A.
        dueling: value and advantage streams, Q = V + A - mean(A) (Wang et al. 2016,
            arXiv 1511.06581, equation 9), for each atom or quantile (Hessel et al. 2018). Each
            has a hidden layer of its own instead of the torso's last one.
        hidden: units of the torso's hidden layers; empty for its own.
        normalise: bring observations to mean 0 and deviation 1 first.
        returns: how a return is described; None for its mean.
        sigma: of the noise in the head's layers, the torso's last hidden layer among them; 0 for
            no noise.
        """
        super().__init__()
        self.returns = returns = returns or Returns()
        self.num_actions = num_actions
        self.normaliser = build_normaliser(spec, normalise)
        self.torso = build_torso(torso, spec, hidden)
        self.advantage: nn.Module
        self.value: nn.Module | None = None
        self.embedding: FractionEmbedding | None = None
        each = 1 if returns.kind == "iqn" else returns.size
        if dueling or sigma or returns.kind == "iqn":
            units = self.torso.num_features
            inputs = self.torso.drop_hidden()
            self.advantage = Stream(inputs, units, num_actions * each, sigma)
            if dueling:
                self.value = Stream(inputs, units, each, sigma)
            if returns.kind == "iqn":
                self.embedding = FractionEmbedding(inputs)
        else:
            self.advantage = nn.Linear(self.torso.num_features, num_actions * each)
        streams = [s for s in (self.advantage, self.value) if isinstance(s, Stream)]
        self.noise_sizes = [sum(stream.noise_sizes) for stream in streams if sigma]
        self.points: Tensor
        points = midpoints(returns.size)
        if returns.kind == "c51":
            points = torch.linspace(returns.low, returns.high, returns.size)
        self.register_buffer("points", points, persistent=False)

    def forward(self, observation: Tensor, draws: Draws = NO_DRAWS, whole: bool = False) -> Tensor:
        """Action values [B, A]; with ``whole`` what describes the returns, [B, A, Z], where that
        is more than a mean."""
        features = self.torso(self.normaliser(observation))
        if self.value is None and self.returns.kind == "none" and not self.noise_sizes:
            return full_precision(self.advantage, features)
        outputs = self._outputs(features, draws)
        return outputs if whole else self.mean(outputs)

    def _outputs(self, features: Tensor, draws: Draws) -> Tensor:
        if self.value is not None:
            features = features.detach() + STREAM_GRADIENT * (features - features.detach())
        if self.embedding is not None:
            fractions = self.points.unsqueeze(0) if draws.fractions is None else draws.fractions
            features = self.embedding(features, fractions)  # [B, N, D]
        noises: Sequence[Tensor | None] = (None, None)
        if draws.noise is not None and self.noise_sizes:
            size = self.noise_sizes[0]
            noises = (draws.noise[..., :size], draws.noise[..., size:])
        advantage = self._by_action(self._head(self.advantage, features, noises[0]))
        if self.value is None:
            return advantage
        value: Tensor = self._by_action(self._head(self.value, features, noises[1]))
        return value + advantage - advantage.mean(dim=1, keepdim=True)

    @staticmethod
    def _head(head: nn.Module, features: Tensor, noise: Tensor | None) -> Tensor:
        if not isinstance(head, Stream):
            return full_precision(head, features)
        outputs: Tensor = head(features) if noise is None else head(features, noise)
        return outputs

    def _by_action(self, outputs: Tensor) -> Tensor:
        """A head's outputs as [B, A or 1], or [B, A or 1, Z]."""
        if self.returns.kind == "none":
            return outputs
        if self.embedding is not None:
            return outputs.transpose(1, 2)
        return outputs.reshape(len(outputs), -1, self.returns.size)

    def mean(self, outputs: Tensor) -> Tensor:
        """Action values [B, A] from what describes the returns."""
        if self.returns.kind == "none":
            return outputs
        if self.returns.kind == "c51":
            return (outputs.softmax(dim=2) * self.points).sum(dim=2)
        return outputs.mean(dim=2)

    @property
    def is_random(self) -> bool:
        """Whether learning and exploring take random numbers."""
        return bool(self.noise_sizes) or self.embedding is not None

    def draw(
        self,
        rng: np.random.Generator,
        place: Callable[[np.ndarray], Tensor],
        rows: int,
        fractions: int,
        noises: int = 1,
    ) -> Draws:
        """The random numbers of one forward.

        Args:
            rng: where they are from.
            place: from an array to a tensor on the network's device.
            rows: B.
            fractions: N, for iqn.
            noises: G; 1 for one noise for all rows.
        """
        noise = drawn = None
        if self.noise_sizes:
            noise = place(draw_noise(rng, noises, sum(self.noise_sizes)))
        if self.embedding is not None:
            drawn = place(rng.random((rows, fractions), np.float32))
        return Draws(noise, drawn)
