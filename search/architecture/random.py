"""Random search: the rival that every other searcher has to beat at equal budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.architecture.space import Space, Tokens, sample


class RandomSearch:
    """Every decision uniform over its legal options, whatever the rewards say.

    Li and Talwalkar 2019, arXiv 1902.07638.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.random = np.random.default_rng(seed)

    def ask(self, count: int) -> list[Tokens]:
        """So many designs, independent of each other."""
        return self.draw(count, self.random)

    def draw(self, count: int, random: np.random.Generator) -> list[Tokens]:
        """The same, with the caller's random numbers: of these nothing is to be told."""
        return [sample(self.space, random) for _ in range(count)]

    def tell(self, designs: Sequence[Tokens], rewards: np.ndarray) -> None:
        """Nothing is learned."""

    def state_dict(self) -> dict[str, Any]:
        """The random stream."""
        return {"random": self.random.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        self.random.bit_generator.state = state["random"]
