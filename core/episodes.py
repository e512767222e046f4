"""Returns and lengths of training episodes, per lane."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from core.evaluation import Episode
from core.lanes import Step

RECENT = 100
RECORDED_WHOLE = 10_000


def is_recorded(number: int) -> bool:
    """Whether the episode of this number, from 1, is written down.

    All of the first 10,000 are; of those up to 20,000 every second, up to 40,000 every fourth, and
    so on: ten million episodes of one step make 60,000 records.
    """
    stride: int = 1 << ((number - 1) // RECORDED_WHOLE).bit_length()
    return number % stride == 0


class EpisodesInProgress:
    """Adds up raw rewards of each lane; a lost life does not end an episode here."""

    def __init__(self, num_lanes: int) -> None:
        self._score = np.zeros(num_lanes)
        self._length = np.zeros(num_lanes, dtype=np.int64)

    def update(self, outcome: Step) -> list[Episode]:
        """Add one tick; return the episodes that ended with it, in order of lane."""
        self._score += outcome.reward
        self._length += outcome.valid
        done = np.flatnonzero(outcome.done)
        if not len(done):
            return []
        episodes = [Episode(float(self._score[i]), int(self._length[i])) for i in done]
        self._score[done] = 0.0
        self._length[done] = 0
        return episodes

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {"score": self._score.copy(), "length": self._length.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self._score = np.asarray(state["score"]).copy()
        self._length = np.asarray(state["length"]).copy()


class FinishedEpisodes:
    """Counts episodes and remembers the newest scores."""

    def __init__(self) -> None:
        self.count = 0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def add(self, episode: Episode) -> int:
        """One more ended; return its number, from 1."""
        self.count += 1
        self._recent.append(episode.score)
        return self.count

    @property
    def recent_mean(self) -> float | None:
        """Mean score of the last 100 episodes, None before the first."""
        return float(np.mean(self._recent)) if self._recent else None

    def state_dict(self) -> dict[str, Any]:
        """The count and recent scores."""
        return {"finished": self.count, "recent": list(self._recent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.count = int(state["finished"])
        self._recent = deque(state["recent"], maxlen=RECENT)
