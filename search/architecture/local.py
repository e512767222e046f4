"""Local search with restarts (White et al. 2020, arXiv 2005.02960)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.architecture.space import Space, Tokens, sample
from search.architecture.neighbours import neighbours


class LocalSearch:
    """Goes to a better neighbour as soon as there is one, and starts anew where there is none.

    Neighbours differ in one decision and are tried in random order. What was scored before is
    passed over, also where it is the same network as another design.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.random = np.random.default_rng(seed)
        self.reward = -np.inf
        """Of the design whose neighbours are tried; minus infinity at a start."""
        self.untried: list[Tokens] = []
        """Neighbours; the last one is next."""
        self.seen: set[Tokens] = set()
        """Canonical forms of what was asked for."""

    def ask(self, count: int) -> list[Tokens]:
        """Neighbours, and where there are too few of them random designs to start from."""
        return [self._next() for _ in range(count)]

    def _next(self) -> Tokens:
        tokens = None
        while self.untried and tokens is None:
            tokens = self._unless_seen(self.untried.pop())
        if tokens is None:
            tokens = sample(self.space, self.random)
        self.seen.add(self.space.canonical(tokens))
        return tokens

    def _unless_seen(self, tokens: Tokens) -> Tokens | None:
        return None if self.space.canonical(tokens) in self.seen else tokens

    def tell(self, designs: Sequence[Tokens], rewards: np.ndarray) -> None:
        """Go to the best of these if it is better, or else to a new start if none is left."""
        best = int(np.argmax(rewards))
        if rewards[best] > self.reward:
            self.reward = float(rewards[best])
            self.untried = neighbours(self.space, designs[best], self.random)
        self.untried = [tokens for tokens in self.untried if self._unless_seen(tokens)]
        if not self.untried:
            self.reward = -np.inf

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, what it has seen, and the random stream."""
        return {
            "reward": self.reward,
            "untried": [list(tokens) for tokens in self.untried],
            "seen": [list(tokens) for tokens in sorted(self.seen)],
            "random": self.random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        self.reward = state["reward"]
        self.untried = [tuple(tokens) for tokens in state["untried"]]
        self.seen = {tuple(tokens) for tokens in state["seen"]}
        self.random.bit_generator.state = state["random"]
