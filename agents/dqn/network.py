"""Q(s, a) for all actions at once: a torso and a linear head, or two streams."""

from __future__ import annotations

from torch import Tensor, nn

from core.lanes import ObservationSpec
from networks.registry import build_torso


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
            arXiv 1511.06581, equation 9), here as linear streams on the shared torso.
        """
        super().__init__()
        self.torso = build_torso(torso, spec)
        self.advantage = nn.Linear(self.torso.num_features, num_actions)
        self.value = nn.Linear(self.torso.num_features, 1) if dueling else None

    def forward(self, observation: Tensor) -> Tensor:
        """Action values [B, A]."""
        features = self.torso(observation)
        advantage: Tensor = self.advantage(features)
        if self.value is None:
            return advantage
        value: Tensor = self.value(features)
        return value + advantage - advantage.mean(dim=1, keepdim=True)
