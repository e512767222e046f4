"""Seeds of lanes, and of the random numbers that some environments take from their process."""

from __future__ import annotations

import random
from typing import Any

import numpy as np


def lane_seeds(seed: int, num_lanes: int) -> np.ndarray:
    """A seed for each lane, 31 bits, int64 [L]; the first lanes keep theirs if L changes.

    Counting up from one number would make lane 1 of seed 0 lane 0 of seed 1. Emulators and many
    environments take signed 32-bit integers, where a negative one means no seed at all.
    """
    words = np.random.SeedSequence(int(seed)).generate_state(num_lanes)
    return words.astype(np.int64) & 0x7FFFFFFF


class GlobalRandomness:
    """The process's ``random`` and ``np.random``, for environments that draw from them.

    Nothing of ours does. What stood before comes back at the end, so that an evaluation between two
    steps of training does not make the training lanes repeat themselves.
    """

    def __init__(self) -> None:
        """Remember where the streams are. What opened last must close first."""
        self._before: tuple[Any, Any] | None = (random.getstate(), np.random.get_state())

    def seed(self, seed: int) -> None:
        """Start both streams from ``seed``, at most 32 bits."""
        random.seed(seed)
        np.random.seed(seed)

    def restore(self) -> None:
        """Go back to where the streams were at first."""
        if self._before is not None:
            random.setstate(self._before[0])
            np.random.set_state(self._before[1])
            self._before = None
