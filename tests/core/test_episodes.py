"""Episode scores and lengths, per lane, against a plain loop."""

from __future__ import annotations

import copy

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.episodes import (
    RECORDED_WHOLE,
    EpisodesInProgress,
    FinishedEpisodes,
    is_recorded,
)
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
    running, finished = EpisodesInProgress(len(scripts)), FinishedEpisodes()
    assert finished.recent_mean is None
    played = [0] * len(scripts)
    scores: list[float] = []
    for tick in range(ticks):
        step = lanes.receive()
        expected = []
        for lane in np.flatnonzero(step.terminated | step.truncated):
            length, reward = scripts[lane][played[lane] % len(scripts[lane])]
            played[lane] += 1
            expected.append(Episode(length * reward, length))
        assert running.update(step) == expected
        for episode in expected:
            finished.add(episode)
        scores += [episode.score for episode in expected]
        if tick == cut:
            saved = copy.deepcopy((running.state_dict(), finished.state_dict()))
            running, finished = EpisodesInProgress(len(scripts)), FinishedEpisodes()
            running.load_state_dict(saved[0])
            finished.load_state_dict(saved[1])
    assert finished.count == len(scores)
    assert not scores or np.isclose(finished.recent_mean or 0, np.mean(scores[-100:]))


def test_records_thin_out() -> None:
    recorded = [number for number in range(1, 1_000_001) if is_recorded(number)]
    assert recorded[:RECORDED_WHOLE] == list(range(1, RECORDED_WHOLE + 1))
    gaps = np.diff(recorded)
    assert (np.diff(gaps) >= 0).all() and gaps.max() == 128
    assert len(recorded) < 5 * RECORDED_WHOLE
