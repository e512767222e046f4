"""Episode scores and lengths, per lane, against a plain loop."""

from __future__ import annotations

import copy

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.episodes import RECORDED_WHOLE, EpisodeTracker, is_recorded
from core.evaluation import Episode
from tests.core.scripted_lanes import ScriptedLanes

EPISODE = st.tuples(st.integers(1, 5), st.sampled_from([-1.0, 0.5, 20.0]))


@given(
    scripts=st.lists(st.lists(EPISODE, min_size=1, max_size=3), min_size=1, max_size=3),
    ticks=st.integers(1, 150),
    cut=st.integers(0, 150),
    busy=st.sampled_from([0.0, 0.5]),
)
def test_episodes_are_those_of_the_script(
    scripts: list[list[tuple[int, float]]], ticks: int, cut: int, busy: float
) -> None:
    lanes = ScriptedLanes(scripts, busy)
    lanes.reset(0)
    tracker = EpisodeTracker(len(scripts))
    assert tracker.recent_mean is None
    played = [0] * len(scripts)
    scores: list[float] = []
    for tick in range(ticks):
        step = lanes.receive()
        expected = []
        for lane in np.flatnonzero(step.terminated | step.truncated):
            length, reward = scripts[lane][played[lane] % len(scripts[lane])]
            played[lane] += 1
            expected.append(Episode(length * reward, length))
        assert tracker.update(step) == expected
        scores += [episode.score for episode in expected]
        if tick == cut:
            saved = copy.deepcopy(tracker.state_dict())
            tracker = EpisodeTracker(len(scripts))
            tracker.load_state_dict(saved)
    assert tracker.finished == len(scores)
    assert not scores or np.isclose(tracker.recent_mean or 0, np.mean(scores[-100:]))


def test_dropped_episodes_leave_no_trace() -> None:
    lanes = ScriptedLanes([[(4, 1.0)]])
    lanes.reset(0)
    tracker = EpisodeTracker(1)
    for _ in range(2):
        tracker.update(lanes.receive())
    tracker.drop_unfinished()
    lanes.reset(0)
    finished = [tracker.update(lanes.receive()) for _ in range(4)]
    assert finished[-1] == [Episode(4.0, 4)]


def test_records_thin_out() -> None:
    recorded = [number for number in range(1, 1_000_001) if is_recorded(number)]
    assert recorded[:RECORDED_WHOLE] == list(range(1, RECORDED_WHOLE + 1))
    gaps = np.diff(recorded)
    assert (np.diff(gaps) >= 0).all() and gaps.max() == 128
    assert len(recorded) < 5 * RECORDED_WHOLE
