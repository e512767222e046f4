"""Q(s, a) for all actions at once: a torso and a linear head, or two streams."""

from __future__ import annotations

from torch import Tensor, nn

from core.lanes import ObservationSpec
from networks.registry import build_torso

STREAM_GRADIENT = 2**-0.5
"""What both streams send back is scaled by this as it enters the torso (Wang et al. 2016,
section 4.2)."""


class QNetwork(nn.Module):
    """Observations [B, ...] -> action values [B, A]."""

    def __init__(
        self, torso: str, spec: ObservationSpec, num_actions: int, *, dueling: bool
    ) -> None:
        """Args:
        torso: name in the network registry, or 'auto'.
        spec: the observations.
        num_actions: A.
        dueling: value and advantage streams, Q = V + A - mean(A) (Wang et al. 2016,
            arXiv 1511.06581, equation 9). Each has a hidden layer of its own instead of the
            torso's last one.
        """
        super().__init__()
        self.torso = build_torso(torso, spec)
        self.advantage: nn.Module
        self.value: nn.Module | None
        if dueling:
            hidden = self.torso.num_features
            inputs = self.torso.drop_hidden()
            self.advantage = _stream(inputs, hidden, num_actions)
            self.value = _stream(inputs, hidden, 1)
        else:
            self.advantage = nn.Linear(self.torso.num_features, num_actions)
            self.value = None

    def forward(self, observation: Tensor) -> Tensor:
        """Action values [B, A]."""
        features = self.torso(observation)
        if self.value is None:
            q: Tensor = self.advantage(features)
            return q
        features = features.detach() + STREAM_GRADIENT * (features - features.detach())
        advantage: Tensor = self.advantage(features)
        value: Tensor = self.value(features)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


def _stream(inputs: int, hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
