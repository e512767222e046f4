"""A space small enough to list: three layers of a kind and a size, with anchor points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from envs.architecture.space import Anchor, Choice, Stage, Tokens

KIND, SIZE = Choice("kind", ("a", "b", "c")), Choice("size", (1, 2))


class SmallSpace:
    """1,000 designs of three layers, 50 of two. Kind c (token 2) has no size 2 (token 1)."""

    name = "small"
    stages: tuple[Stage, ...] = (
        KIND, SIZE, KIND, SIZE, Anchor("inputs", 1), KIND, SIZE, Anchor("inputs", 2),
    )  # fmt: skip
    lengths = (5, 9)

    def legal(self, tokens: Sequence[int]) -> np.ndarray:
        """Bool [3] for a kind, [2] for a size."""
        if len(tokens) in (0, 2, 5):
            return np.ones(3, dtype=bool)
        return np.array([True, tokens[-1] != 2])

    def canonical(self, tokens: Sequence[int]) -> Tokens:
        """Itself."""
        return tuple(tokens)

    def design(self, tokens: Sequence[int]) -> dict[str, Any]:
        """The tokens."""
        return {"space": self.name, "tokens": list(tokens)}


def all_designs(space: SmallSpace, length: int) -> list[Tokens]:
    """Written as a filter over everything."""
    widths = (3, 2, 3, 2, 2, 3, 2, 2, 2)[:length]
    pairs = [(at, at + 1) for at in (0, 2, 5) if at < length]
    return [
        tokens
        for tokens in product(*map(range, widths))
        if not any(tokens[kind] == 2 and tokens[size] == 1 for kind, size in pairs)
    ]
