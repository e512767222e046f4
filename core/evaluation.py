"""Play whole episodes with a fixed policy and report their raw scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.lanes import Lanes, Step


class Policy(Protocol):
    """Chooses actions; keeps what it must remember of each lane, such as stacked frames."""

    def act(self, step: Step) -> np.ndarray:
        """Actions, int64 [L], for the newest step."""


@dataclass(frozen=True)
class Episode:
    """One finished episode."""

    score: float
    """Sum of raw rewards."""
    length_steps: int
    """Agent steps."""


Watcher = Callable[[Step, np.ndarray], object]
"""Sees every step and the actions chosen for it, for instance to record a video."""


def play_episodes(
    lanes: Lanes,
    policy: Policy,
    episodes: int,
    seed: int,
    watch: Watcher | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Episode]:
    """Play ``episodes`` whole episodes.

    Every lane plays its fixed share, ordered by lane: taking whichever episodes end first would
    favour short ones.

    Args:
        lanes: separate from those of training.
        policy: made for this number of lanes.
        episodes: how many in total.
        seed: seeds the lanes; the same seed and policy give the same scores.
        watch: called once per tick, before the actions are carried out.
        stop: asked every tick; true abandons the evaluation and returns an empty list.
    """
    share = np.full(lanes.num_lanes, episodes // lanes.num_lanes)
    share[: episodes % lanes.num_lanes] += 1
    finished: list[list[Episode]] = [[] for _ in range(lanes.num_lanes)]
    score = np.zeros(lanes.num_lanes)
    length = np.zeros(lanes.num_lanes, dtype=np.int64)
    step = lanes.reset(seed)
    while any(len(done) < wanted for done, wanted in zip(finished, share, strict=True)):
        if stop():
            return []
        actions = policy.act(step)
        if watch is not None:
            watch(step, actions)
        lanes.send(actions)
        step = lanes.receive()
        score += step.reward
        length += step.valid
        for lane in np.flatnonzero(step.done):
            if len(finished[lane]) < share[lane]:
                finished[lane].append(Episode(float(score[lane]), int(length[lane])))
            score[lane], length[lane] = 0.0, 0
    return [episode for lane in finished for episode in lane]
