"""Collects whole episodes from lanes that advance together.

    lane 0   o0 a0 r1 | o1 a1 r2 | o2          finished: T steps, T + 1 frames
    lane 1   o0 a0 r1 | ...                    in progress

Frames are kept single; stacks are put together when an episode is used.

Legend: L lanes, T steps of an episode, K frames stacked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.lanes import ObservationSpec, Step

INITIAL_CAPACITY = 64


@dataclass(frozen=True)
class FinishedEpisode:
    """One whole episode."""

    frames: np.ndarray
    """[T + 1, *shape]; the last one is the final observation, in which no action was taken."""
    first: np.ndarray
    """True where stacks of frames begin anew, as after a lost life under some protocols, bool
    [T + 1]."""
    action: np.ndarray
    """int64 [T]."""
    reward: np.ndarray
    """float64 [T], raw."""
    legal: np.ndarray
    """Legal actions, bool [T, A]; [T, 0] where all are."""
    terminated: bool
    """False where it was cut off by a limit: the final observation has a value then."""


class EpisodeCollector:
    """Episodes in progress, one per lane, and finished ones until they are taken."""

    def __init__(self, spec: ObservationSpec, num_lanes: int, num_actions: int = 0) -> None:
        """``num_actions`` is needed where the observations are masked."""
        width = num_actions if spec.masked else 0
        self._legal = np.ones((num_lanes, INITIAL_CAPACITY, width), dtype=bool)
        self._frames = np.zeros((num_lanes, INITIAL_CAPACITY, *spec.shape), dtype=spec.dtype)
        self._first = np.zeros((num_lanes, INITIAL_CAPACITY), dtype=bool)
        self._action = np.zeros((num_lanes, INITIAL_CAPACITY), dtype=np.int64)
        self._reward = np.zeros((num_lanes, INITIAL_CAPACITY))
        self._length = np.zeros(num_lanes, dtype=np.int64)
        self._starts = np.zeros(num_lanes, dtype=bool)  # stacks, since the last step added
        self.finished: list[FinishedEpisode] = []

    def append(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        """Add one tick. Lanes that ignored their action or are busy are left out."""
        lanes = np.flatnonzero(outcome.valid)
        self._starts |= step.first
        if self._length.max() >= self._action.shape[1]:
            self._grow()
        at = self._length[lanes]
        self._frames[lanes, at] = step.observation[lanes]
        self._first[lanes, at] = self._starts[lanes]
        self._starts[lanes] = False
        self._action[lanes, at] = actions[lanes]
        self._reward[lanes, at] = outcome.reward[lanes]
        if step.legal is not None and self._legal.shape[2]:
            self._legal[lanes, at] = step.legal[lanes]
        self._length[lanes] += 1
        for lane in np.flatnonzero(outcome.done & (self._length > 0)):
            self._finish(int(lane), outcome)

    def _finish(self, lane: int, outcome: Step) -> None:
        length = self._length[lane]
        self.finished.append(
            FinishedEpisode(
                np.concatenate([self._frames[lane, :length], outcome.observation[lane][None]]),
                np.append(self._first[lane, :length], False),
                self._action[lane, :length].copy(),
                self._reward[lane, :length].copy(),
                self._legal[lane, :length].copy(),
                bool(outcome.terminated[lane]),
            )
        )
        self._length[lane] = 0

    def _grow(self) -> None:
        self._frames, self._first, self._action, self._reward, self._legal = (
            np.concatenate([array, np.zeros_like(array)], axis=1)
            for array in (self._frames, self._first, self._action, self._reward, self._legal)
        )

    def take(self) -> list[FinishedEpisode]:
        """The finished episodes, in the order in which they ended; they are forgotten here."""
        finished, self.finished = self.finished, []
        return finished

    def drop_unfinished(self) -> None:
        """Forget episodes in progress: their lanes were restarted."""
        self._length[:] = 0
        self._starts[:] = False

    def state_dict(self) -> dict[str, Any]:
        """Episodes in progress and finished ones."""
        longest = int(self._length.max())
        return {
            "frames": self._frames[:, :longest].copy(),
            "first": self._first[:, :longest].copy(),
            "action": self._action[:, :longest].copy(),
            "reward": self._reward[:, :longest].copy(),
            "legal": self._legal[:, :longest].copy(),
            "length": self._length.copy(),
            "starts": self._starts.copy(),
            "finished": [dict(vars(episode)) for episode in self.finished],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self._length = np.asarray(state["length"]).copy()
        self._starts = np.array(state.get("starts", np.zeros_like(self._starts)))
        longest = int(self._length.max())
        while self._action.shape[1] < longest:
            self._grow()
        for mine, name in (
            (self._frames, "frames"),
            (self._first, "first"),
            (self._action, "action"),
            (self._reward, "reward"),
            (self._legal, "legal"),
        ):
            mine[:, :longest] = np.asarray(state.get(name, mine[:, :longest]))
        self.finished = [
            FinishedEpisode(**{**self._assumed(episode), **episode})
            for episode in state["finished"]
        ]

    def _assumed(self, episode: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """What the episodes of earlier versions lack: `first`, and then `legal`."""
        return {
            "first": np.zeros(len(episode["frames"]), dtype=bool),
            "legal": np.ones((len(episode["action"]), self._legal.shape[2]), dtype=bool),
        }


def stack_frames(frames: np.ndarray, first: np.ndarray, spec: ObservationSpec) -> np.ndarray:
    """One episode's frames as the network saw them, zero before where a stack begins.

    Args:
        frames: [T + 1, *shape], oldest first.
        first: where stacks begin anew, bool [T + 1].
        spec: says how many are stacked.

    Returns:
        [T + 1, *stacked_shape]; the frames themselves where nothing is stacked.
    """
    if not spec.is_image and spec.stack == 1:
        return frames
    padding = np.zeros((spec.stack - 1, *spec.shape), dtype=frames.dtype)
    padded = np.concatenate([padding, frames])
    stacks = np.stack([padded[k : k + len(frames)] for k in range(spec.stack)], axis=1)
    times = np.arange(len(frames))
    begin = np.maximum.accumulate(np.where(first, times, 0))  # of the stack at each time
    age = np.arange(spec.stack)[::-1]  # the newest frame comes last
    stacks[times[:, None] - age < begin[:, None]] = 0
    return stacks
