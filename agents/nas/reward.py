"""What a child's result is worth to the searcher.

Zoph and Le 2017 (arXiv 1611.01578) reward the cube of a convolutional network's accuracy, and c
over the square of a recurrent one's perplexity; Pham et al. 2018 (arXiv 1802.03268) c over the
perplexity; Tan et al. 2019 (arXiv 1807.11626) accuracy times (latency / target)^w, w = -0.07.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from agents.nas.evaluator import Result

Transform = Literal["identity", "cube", "inverse-perplexity", "inverse-perplexity-squared"]


@dataclass(frozen=True)
class Reward:
    """From results to rewards."""

    transform: Transform = "identity"
    """identity and cube of a score that is an accuracy; the others of one that is minus the loss
    in nats a token, whose exponential is the perplexity."""
    constant: float = 80.0
    """c of the perplexity's."""
    latency_target: float = 0.0
    """Seconds; 0: latency does not count."""
    latency_exponent: float = -0.07
    """w."""
    failure: float = 0.0
    """Of a child without a score."""

    def __call__(self, result: Result) -> float:
        """The reward; that of a failure where the status is not ok, or the score is not finite.

        Raises:
            KeyError: latency counts, and was not measured.
        """
        score = result.metrics.get("score", math.nan)
        if result.status != "ok" or not math.isfinite(score):
            return self.failure
        # The exponential of more is not a number that can be held; the reward is 0 long before.
        perplexity = math.exp(min(-score, 300.0))
        reward = {
            "identity": lambda: score,
            "cube": lambda: score**3,
            "inverse-perplexity": lambda: self.constant / perplexity,
            "inverse-perplexity-squared": lambda: self.constant / perplexity**2,
        }[self.transform]()
        if self.latency_target:
            reward *= (result.metrics["latency"] / self.latency_target) ** self.latency_exponent
        return reward
