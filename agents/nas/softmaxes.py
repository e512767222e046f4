"""A softmax for each decision, independent of all others, in plain numpy.

With five numbers a decision, torch would spend a hundred times as long on calls as on numbers: so
the gradient of `agents.nas.losses` is written out here, and so is Adam.

Legend: B designs, T tokens of each, K options at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.nas.controller_config import ControllerConfig
from agents.nas.policy import Batch, anchor_places, most_options
from envs.architecture.space import Space

BETA1, EPSILON = 0.9, 1e-8
"""Of Adam."""


class SoftmaxTable:
    """An `agents.nas.policy.Policy`. Begins uniform."""

    def __init__(self, config: ControllerConfig, space: Space) -> None:
        self.config = config
        self.space = space
        shape = (space.lengths[-1], most_options(space))
        self.logits, self.mean, self.square = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        """The table, and Adam's moments; float64."""
        self.steps = 0
        ends = np.cumsum([0, *(stage.num_tokens for stage in space.stages)]).tolist()
        self.places = [slice(*ends[i : i + 2]) for i in range(len(space.stages))]

    def start(self, count: int) -> int:
        """How many they are; nothing else matters."""
        return count

    def step(self, memory: int, stage: int, last: np.ndarray) -> np.ndarray:
        """The same for every design, whatever was decided; float64 [1, n, K]."""
        return self._squashed(self.logits[None, self.places[stage]])

    def _squashed(self, logits: np.ndarray) -> np.ndarray:
        constant = self.config.tanh_constant
        if self.config.temperature != 1:
            logits = logits / self.config.temperature
        return constant * np.tanh(logits) if constant else logits

    def learn(self, batch: Batch, advantage: np.ndarray) -> np.ndarray:
        """One step of Adam on what `agents.nas.losses` say."""
        gradient, nats = self.gradient(batch, advantage)
        length, beta2 = len(gradient), self.config.beta2
        self.steps += 1
        # A decision that is not made yet has a gradient of zero, as it has in torch.
        full = np.zeros_like(self.logits)
        full[:length] = gradient
        self.mean += (1 - BETA1) * (full - self.mean)
        self.square += (1 - beta2) * (full * full - self.square)
        rate = self.config.learning_rate / (1 - BETA1**self.steps)
        scale = np.sqrt(self.square / (1 - beta2**self.steps)) + EPSILON
        self.logits -= rate * self.mean / scale
        return nats

    def gradient(self, batch: Batch, advantage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the loss by the table, float64 [T, K], and each token's entropy, [T]."""
        config, length = self.config, batch.tokens.shape[1]
        squashed = self._squashed(self.logits[:length])
        exponent = np.where(batch.legal, np.exp(squashed - squashed.max(axis=1, keepdims=True)), 0)
        policy = exponent / exponent.sum(axis=2, keepdims=True)  # [B, T, K]
        log_policy = np.log(np.where(policy > 0, policy, 1.0))
        chosen = batch.tokens[:, :, None]
        weight = advantage
        if config.algorithm == "ppo":
            new = np.take_along_axis(log_policy, chosen, axis=2).sum(axis=(1, 2))
            weight = _clipped(np.exp(new - batch.log_probability), advantage, config.ppo_clip)
        nats = -(policy * log_policy).sum(axis=2, keepdims=True)  # [B, T, 1]
        found = policy * weight[:, None, None]
        taken = np.take_along_axis(found, chosen, axis=2) - weight[:, None, None]
        np.put_along_axis(found, chosen, taken, axis=2)
        if config.entropy:
            found += config.entropy * policy * (log_policy + nats)
        places, anchors = anchor_places(self.space, length) if config.skip_weight else ([], 0)
        if places:
            answers = policy[:, places, :2]
            apart = log_policy[:, places, :2] - np.log([1 - config.skip_rate, config.skip_rate])
            divergence = (answers * apart).sum(axis=2, keepdims=True)
            found[:, places, :2] += config.skip_weight / anchors * answers * (apart - divergence)
        return found.mean(axis=0) * self._slope(squashed), nats.mean(axis=(0, 2))

    def _slope(self, squashed: np.ndarray) -> np.ndarray | float:
        """Of squashing."""
        constant, slope = self.config.tanh_constant, 1 / self.config.temperature
        return slope * (1 - (squashed / constant) ** 2) * constant if constant else slope

    def state_dict(self) -> dict[str, Any]:
        """Table and Adam's moments, copied."""
        arrays = {name: getattr(self, name).copy() for name in ("logits", "mean", "square")}
        return {"steps": self.steps, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        self.steps = state["steps"]
        for name in ("logits", "mean", "square"):
            getattr(self, name)[:] = state[name]


def _clipped(ratio: np.ndarray, advantage: np.ndarray, clip: float) -> np.ndarray:
    """PPO's weight of each design: none where the ratio went far enough already."""
    done = np.where(advantage > 0, ratio > 1 + clip, ratio < 1 - clip)
    return np.where(done, 0.0, ratio * advantage)
