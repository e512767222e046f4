"""How PQN acts: greedily on Q, or at random with probability epsilon, each lane on its own.

Legend: L lanes, A actions.
"""

from __future__ import annotations

import numpy as np
import torch

from agents.pqn.network import QNetwork
from core.lanes import FrameStack, Lanes, Step
from core.learner import Arithmetic
from core.legal import legal_only, random_actions
from core.recorded import Recorded


class EpsilonGreedy:
    """A policy on lanes that remembers what it expected."""

    def __init__(
        self, network: QNetwork, lanes: Lanes, arithmetic: Arithmetic, rng: np.random.Generator
    ) -> None:
        self.forward = Recorded(torch.no_grad()(network.__call__), arithmetic)
        self.network = network
        self.frames = FrameStack(lanes.observation_spec, lanes.num_lanes)
        self.num_actions = lanes.num_actions
        self.arithmetic = arithmetic
        self.rng = rng
        self.epsilon = 0.0
        self.seen = torch.empty(0)
        """The newest step as the network saw it, [L, ...] on its device."""
        self.value = np.zeros(lanes.num_lanes, np.float32)
        """max_a Q of the newest step over legal actions, float [L]."""

    def act(self, step: Step) -> np.ndarray:
        """Actions, int64 [L], for the newest step. One forward for all lanes, in fp32: bf16 rounds
        away the differences between actions."""
        observation = self.frames.push(step)
        lanes = len(observation)
        self.seen = self.arithmetic.tensor(observation)
        q = self.forward(self.seen)  # [L, A]
        if step.legal is not None:
            q = legal_only(q, self.arithmetic.tensor(step.legal))
        best = q.max(dim=1)
        self.value = best.values.float().cpu().numpy()
        drawn = random_actions(self.rng, lanes, self.num_actions, step.legal)
        explore = self.rng.random(lanes) < self.epsilon
        return np.where(explore, drawn, best.indices.cpu().numpy())
