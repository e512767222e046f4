"""Regularised evolution: tournaments, one mutation, and death by age (Real et al. 2019)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.architecture.space import Space, Tokens, sample
from search.architecture.neighbours import mutated


class RegularisedEvolution:
    """The child of the best of a random sample joins the population; the oldest member leaves it.

    Real et al. 2019, arXiv 1802.01548, algorithm 1. The sample is drawn with replacement, and each
    child differs from its parent in exactly one decision, where the paper also has identities.
    Designs asked for at once have parents in the same population.
    """

    def __init__(self, space: Space, seed: int, population: int = 100, sample_size: int = 25):
        if min(population, sample_size) < 1:
            raise ValueError("population and sample size must be at least 1")
        self.space = space
        self.population = population
        self.sample_size = sample_size
        self.random = np.random.default_rng(seed)
        self.members: deque[tuple[Tokens, float]] = deque(maxlen=population)
        """Designs and rewards, oldest first."""

    def ask(self, count: int) -> list[Tokens]:
        """Random designs until the population is full, then children of tournaments' winners."""
        vacant = self.population - len(self.members)
        return [
            sample(self.space, self.random) if i < vacant else self._child() for i in range(count)
        ]

    def _child(self) -> Tokens:
        if not self.members:
            return sample(self.space, self.random)
        drawn = self.random.integers(len(self.members), size=self.sample_size)
        parent, _ = max((self.members[i] for i in drawn), key=lambda member: member[1])
        return mutated(self.space, parent, self.random)

    def tell(self, designs: Sequence[Tokens], rewards: np.ndarray) -> None:
        """Add these; where the population is full, as many of the oldest leave."""
        self.members.extend(zip(designs, rewards.tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """The population and the random stream."""
        return {
            "designs": [list(tokens) for tokens, _ in self.members],
            "rewards": np.array([reward for _, reward in self.members], dtype=np.float64),
            "random": self.random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        self.members.clear()
        self.tell([tuple(tokens) for tokens in state["designs"]], state["rewards"])
        self.random.bit_generator.state = state["random"]
