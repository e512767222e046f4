"""Play whole episodes with a fixed policy and report their raw scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.config import EVALUATION_STEPS
from core.errors import UserError
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
    cut: bool = False
    """The evaluation ended it, not the environment: it had reached the most steps allowed."""


Watcher = Callable[[Step, np.ndarray], object]
"""Sees every step and the actions chosen for it, for instance to record a video."""

Report = Callable[[int, int], object]
"""Told after every tick how many episodes are finished and how many steps were played."""


def cut_note(episodes: Sequence[Episode]) -> str:
    """What to say where the environment did not end every episode itself; else nothing."""
    cut = [episode.length_steps for episode in episodes if episode.cut]
    return f", {len(cut)} cut after {max(cut):,} steps" if cut else ""


class CutShort(UserError):
    """An environment failed during an evaluation, in which some episodes were finished."""

    def __init__(self, message: str, episodes: list[Episode]) -> None:
        super().__init__(message)
        self.episodes = episodes


def play_episodes(
    lanes: Lanes,
    policy: Policy,
    episodes: int,
    seed: int,
    watch: Watcher | None = None,
    stop: Callable[[], bool] = lambda: False,
    max_steps: int = EVALUATION_STEPS,
    report: Report = lambda finished, steps: None,
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
        stop: asked every tick; true ends the evaluation and returns the episodes finished so far,
            among which short ones are over-represented.
        max_steps: an episode that has not ended by then is cut and counts as it stands. Its lane
            waits for the others, and what is left of its share is played after a reset of all.
        report: follows the progress.

    Raises:
        CutShort: an environment failed; it has the episodes finished so far.
    """
    finished: list[list[Episode]] = [[] for _ in range(lanes.num_lanes)]
    share = np.full(lanes.num_lanes, episodes // lanes.num_lanes)
    share[: episodes % lanes.num_lanes] += 1
    steps = resets = 0

    def playing() -> np.ndarray:
        return np.array([len(done) < wanted for done, wanted in zip(finished, share, strict=True)])

    try:
        while playing().any():
            step = lanes.reset(seed + resets)
            resets += 1
            round_ = _Round(finished, share, playing(), max_steps)
            while round_.playing.any():
                if stop():
                    return _in_order(finished)
                actions = policy.act(step)
                if watch is not None:
                    watch(step, actions)
                lanes.send(actions)
                step = lanes.receive()
                steps += round_.add(step)
                report(sum(map(len, finished)), steps)
    except UserError as error:
        raise CutShort(str(error), _in_order(finished)) from error
    return _in_order(finished)


def _in_order(finished: list[list[Episode]]) -> list[Episode]:
    return [episode for lane in finished for episode in lane]


class _Round:
    """From a reset of all lanes until none has anything to play before the next one."""

    def __init__(
        self,
        finished: list[list[Episode]],
        share: np.ndarray,
        playing: np.ndarray,
        max_steps: int,
    ) -> None:
        self.finished, self.share, self.playing = finished, share, playing
        self.max_steps = max_steps
        self._score = np.zeros(len(share))
        self._length = np.zeros(len(share), dtype=np.int64)

    def add(self, step: Step) -> int:
        """Take the outcome of a tick; return the steps that counted."""
        self._score += step.reward
        self._length += step.valid
        steps = int((step.valid & self.playing).sum())
        for lane in np.flatnonzero(step.done | (self._length >= self.max_steps)):
            ended = bool(step.done[lane])
            if self.playing[lane]:
                self.finished[lane].append(
                    Episode(float(self._score[lane]), int(self._length[lane]), not ended)
                )
                self.playing[lane] = ended and len(self.finished[lane]) < self.share[lane]
            self._score[lane], self._length[lane] = 0.0, 0
        return steps
