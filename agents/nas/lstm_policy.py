"""The LSTM as a policy: drawing with numpy's numbers, learning with torch.

Legend: B designs, T tokens of each, K options at most.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.nas.controller_config import ControllerConfig
from agents.nas.losses import (
    entropy,
    log_policy,
    log_probability,
    ppo_loss,
    reinforce_loss,
    skip_divergence,
    squashed,
)
from agents.nas.lstm import DesignLSTM, Memory
from agents.nas.policy import Batch, anchor_places
from envs.architecture.space import Space


class LSTMPolicy:
    """An `agents.nas.policy.Policy`."""

    def __init__(self, config: ControllerConfig, space: Space, seed: int) -> None:
        self.config = config
        self.space = space
        self.network = DesignLSTM(
            space, config.hidden, config.layers, config.initial_range, seed, config.tied
        )
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), config.learning_rate, (0.9, config.beta2), fused=True
        )

    def start(self, count: int) -> Memory:
        """What is remembered of so many designs."""
        return self.network.start(count)

    @torch.no_grad()
    def step(self, memory: Memory, stage: int, last: np.ndarray) -> np.ndarray:
        """Logits of a stage for all designs in one forward, float32 [B, n, K]."""
        logits = self.network.step(memory, stage, torch.from_numpy(last))
        found: np.ndarray = self._squashed(logits).numpy()
        return found

    def _squashed(self, logits: Tensor) -> Tensor:
        return squashed(logits, self.config.temperature, self.config.tanh_constant)

    def learn(self, batch: Batch, advantage: np.ndarray) -> np.ndarray:
        """One step of Adam."""
        self.optimiser.zero_grad()
        loss, nats = self.loss(batch, advantage)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        found: np.ndarray = nats.numpy()
        return found

    def loss(self, batch: Batch, advantage: np.ndarray) -> tuple[Tensor, Tensor]:
        """What a step makes smaller, scalar, and each token's entropy, float [T]."""
        logits = self._squashed(self.network.logits(torch.from_numpy(batch.tokens)))
        return loss_of(logits, self.config, self.space, batch, advantage)

    def state_dict(self) -> dict[str, Any]:
        """Weights and Adam's moments, copied."""
        return {
            "network": copy.deepcopy(self.network.state_dict()),
            "optimiser": copy.deepcopy(self.optimiser.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(copy.deepcopy(state["optimiser"]))


def loss_of(
    logits: Tensor, config: ControllerConfig, space: Space, batch: Batch, advantage: np.ndarray
) -> tuple[Tensor, Tensor]:
    """The loss that the options ask for, scalar, and each token's entropy, float [T].

    Args:
        logits: squashed, float [B, T, K].
        config: which losses, and their weights.
        space: what the tokens decide.
        batch: designs as they were drawn.
        advantage: float64 [B].
    """
    legal, tokens = torch.from_numpy(batch.legal), torch.from_numpy(batch.tokens)
    advantages = torch.from_numpy(advantage).to(logits.dtype)
    policy = log_policy(logits, legal)
    new = log_probability(policy, tokens)
    if config.algorithm == "ppo":
        old = torch.from_numpy(batch.log_probability).to(logits.dtype)
        loss = ppo_loss(new, old, advantages, config.ppo_clip)
    else:
        loss = reinforce_loss(new, advantages)
    nats = entropy(policy, legal)  # [B, T]
    if config.entropy:
        loss = loss - config.entropy * nats.sum(dim=1).mean()
    places, anchors = anchor_places(space, tokens.shape[1])
    if config.skip_weight and anchors:
        divergence = skip_divergence(policy[:, places], config.skip_rate, anchors)
        loss = loss + config.skip_weight * divergence
    return loss, nats.detach().mean(dim=0)
