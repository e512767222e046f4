"""Policy and baseline: a torso with two heads, or two torsos with a head each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.lanes import ObservationSpec
from networks.normaliser import build_normaliser
from networks.registry import build_torso
from networks.torso import full_precision


class PolicyAndBaseline(nn.Module):
    """Observations [B, ...] -> logits of the policy [B, A] and expected returns [B]."""

    def __init__(
        self,
        torso: str,
        spec: ObservationSpec,
        num_actions: int,
        *,
        separate_baseline: bool,
        hidden: Sequence[int] = (),
        normalise: bool = False,
    ) -> None:
        """Args:
        torso: name in the network registry, or 'auto'.
        spec: the observations.
        num_actions: A.
        separate_baseline: the baseline has a torso of its own.
        hidden: units of the torsos' hidden layers; empty for their own.
        normalise: bring observations to mean 0 and deviation 1 first.
        """
        super().__init__()
        self.normaliser = build_normaliser(spec, normalise)
        self.policy_torso = build_torso(torso, spec, hidden)
        self.value_torso = build_torso(torso, spec, hidden) if separate_baseline else None
        self.policy_logits = nn.Linear(self.policy_torso.num_features, num_actions)
        self.value_head = nn.Linear(self.policy_torso.num_features, 1)
        with torch.no_grad():  # a policy that starts out uniform loses no exploration
            self.policy_logits.weight.mul_(0.01)
            self.policy_logits.bias.zero_()

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, A] and values [B]."""
        observation = self.normaliser(observation)
        features = self.policy_torso(observation)
        logits = full_precision(self.policy_logits, features)
        if self.value_torso is not None:
            features = self.value_torso(observation)
        return logits, full_precision(self.value_head, features).squeeze(1)

    def policy(self, observation: Tensor) -> Tensor:
        """Logits [B, A] alone, for acting."""
        return full_precision(self.policy_logits, self.policy_torso(self.normaliser(observation)))

    def value(self, observation: Tensor) -> Tensor:
        """Values [B] alone."""
        torso = self.policy_torso if self.value_torso is None else self.value_torso
        return full_precision(self.value_head, torso(self.normaliser(observation))).squeeze(1)
