"""Q(s, a) for all actions at once: a torso and a linear head, or two streams."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from core.lanes import ObservationSpec
from networks.normaliser import build_normaliser
from networks.registry import build_torso

STREAM_GRADIENT = 2**-0.5
"""What both streams send back is scaled by this as it enters the torso (Wang et al. 2016,
section 4.2)."""


class QNetwork(nn.Module):
    """Observations [B, ...] -> action values [B, A]."""

    def __init__(
        self,
        torso: str,
        spec: ObservationSpec,
        num_actions: int,
        *,
        dueling: bool,
        hidden: Sequence[int] = (),
        normalise: bool = False,
    ) -> None:
        """Args:
        torso: name in the network registry, or 'auto'.
        spec: the observations.
        num_actions: A.
        dueling: value and advantage streams, Q = V + A - mean(A) (Wang et al. 2016,
            arXiv 1511.06581, equation 9). Each has a hidden layer of its own instead of the
            torso's last one.
        hidden: units of the torso's hidden layers; empty for its own.
        normalise: bring vectors to mean 0 and deviation 1 first.
        """
        super().__init__()
        self.normaliser = build_normaliser(spec, normalise)
        self.torso = build_torso(torso, spec, hidden)
        self.advantage: nn.Module
        self.value: nn.Module | None
        if dueling:
            units = self.torso.num_features
            inputs = self.torso.drop_hidden()
            self.advantage = _stream(inputs, units, num_actions)
            self.value = _stream(inputs, units, 1)
        else:
            self.advantage = nn.Linear(self.torso.num_features, num_actions)
            self.value = None

    def forward(self, observation: Tensor) -> Tensor:
        """Action values [B, A]."""
        features = self.torso(self.normaliser(observation))
        if self.value is None:
            q: Tensor = self.advantage(features)
            return q
        features = features.detach() + STREAM_GRADIENT * (features - features.detach())
        advantage: Tensor = self.advantage(features)
        value: Tensor = self.value(features)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


def _stream(inputs: int, units: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, outputs))
