"""How a Q-network acts.

Legend: L lanes, A actions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from agents.dqn.losses import greedy_action
from agents.dqn.network import QNetwork
from core.lanes import FrameStack, Step
from core.learner import Arithmetic
from core.legal import legal_only, random_actions
from core.recorded import Recorded


class EpsilonGreedy:
    """Acts greedily on Q, or at random with probability epsilon, each lane on its own."""

    def __init__(
        self,
        network: torch.nn.Module,
        lanes: FrameStack,
        num_actions: int,
        arithmetic: Arithmetic,
        rng: np.random.Generator,
    ) -> None:
        self.forward = Recorded(torch.no_grad()(network.__call__), arithmetic)
        self.network = network
        self.frames = lanes
        self.num_actions = num_actions
        self.arithmetic = arithmetic
        self.rng = rng
        self.epsilon = 0.0
        self.explores = False
        """Whether noisy weights are noisy, in each lane in its own way, and quantiles those of
        random fractions; else the policy is the mean one."""

    def act(self, step: Step) -> np.ndarray:
        """Actions, int64 [L], for the newest step. One forward for all lanes, in fp32: bf16 rounds
        the differences between actions away, and saves next to nothing on a few observations."""
        observation = self.frames.push(step)
        num_lanes = len(observation)
        explore = self.rng.random(num_lanes) < self.epsilon
        drawn = random_actions(self.rng, num_lanes, self.num_actions, step.legal)
        if explore.all():
            return drawn
        q = self._values(self.arithmetic.tensor(observation))  # [L, A]
        if step.legal is not None:
            q = legal_only(q, self.arithmetic.tensor(step.legal))
        return np.where(explore, drawn, greedy_action(q).cpu().numpy())

    def _values(self, observation: Tensor) -> Tensor:
        network, lanes = self.network, len(observation)
        if self.explores and isinstance(network, QNetwork) and network.is_random:
            size = network.returns.size
            draws = network.draw(self.rng, self.arithmetic.tensor, lanes, size, noises=lanes)
            with torch.no_grad():
                q: Tensor = network(observation, draws)
        else:
            q = self.forward(observation)
        return q
