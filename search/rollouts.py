"""Leaves of the tree search played to their ends, as in AlphaGo (Silver et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.machine.random_numbers import random_state
from search.simulate import Rollouts


@dataclass(frozen=True)
class RolloutOptions:
    """How leaves are played to their ends."""

    weight: float
    """lambda: 0 is the network's value alone, 1 the outcome alone."""
    make_guide: Callable[[], Any]
    """Makes what the game's `guided_playout` takes, for a thread."""


def rollouts_of(
    options: RolloutOptions | None, threads: int, words: int, actions: int, seed: int
) -> list[Rollouts] | list[None]:
    """What each thread's kernel takes; None where there are no rollouts."""
    if options is None:
        return [None] * threads
    return [
        Rollouts(
            options.weight,
            options.make_guide(),
            np.zeros(words, np.int32),
            np.zeros(actions, np.uint8),
            stream,
        )
        for stream in random_state(seed, threads)
    ]
