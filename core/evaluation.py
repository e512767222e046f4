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
    played = resets = 0
    while any(len(done) < wanted for done, wanted in zip(finished, share, strict=True)):
        playing = np.array(
            [len(done) < wanted for done, wanted in zip(finished, share, strict=True)]
        )
        score = np.zeros(lanes.num_lanes)
        length = np.zeros(lanes.num_lanes, dtype=np.int64)
        step = lanes.reset(seed + resets)
        resets += 1
        while playing.any():
            if stop():
                return [episode for lane in finished for episode in lane]
            actions = policy.act(step)
            if watch is not None:
                watch(step, actions)
            try:
                lanes.send(actions)
                step = lanes.receive()
            except UserError as error:
                so_far = [episode for lane in finished for episode in lane]
                raise CutShort(str(error), so_far) from error
            score += step.reward
            length += step.valid
            played += int((step.valid & playing).sum())
            for lane in np.flatnonzero(step.done | (length >= max_steps)):
                ended = bool(step.done[lane])
                if playing[lane]:
                    finished[lane].append(Episode(float(score[lane]), int(length[lane]), not ended))
                    playing[lane] = ended and len(finished[lane]) < share[lane]
                score[lane], length[lane] = 0.0, 0
            report(sum(map(len, finished)), played)
    return [episode for lane in finished for episode in lane]
