"""Evaluation plays whole episodes, a fixed share per lane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import RunConfig
from core.evaluation import cut_note, play_episodes
from core.lanes import Step
from core.scoring import by_episodes
from tests.core.scripted_lanes import Idle, ScriptedLanes

EPISODE = st.tuples(st.integers(1, 6), st.sampled_from([-2.0, 0.0, 0.5, 3.0]))


@given(
    scripts=st.lists(st.lists(EPISODE, min_size=1, max_size=3), min_size=1, max_size=4),
    episodes=st.integers(0, 9),
    busy=st.sampled_from([0.0, 0.5]),
)
def test_each_lane_plays_its_share(
    scripts: list[list[tuple[int, float]]], episodes: int, busy: float
) -> None:
    lanes = ScriptedLanes(scripts, busy)
    played = play_episodes(lanes, Idle(lanes.num_lanes), episodes, seed=5)
    expected = []
    for lane, script in enumerate(scripts):
        share = len(range(lane, episodes, len(scripts)))
        for number in range(share):
            length, reward = script[number % len(script)]
            expected.append((length * reward, length))
    assert [(e.score, e.length_steps) for e in played] == expected
    assert len(played) == episodes
    assert episodes == 0 or lanes.seed == 5


def test_short_episodes_are_not_favoured() -> None:
    """A lane of 100-step episodes counts as much as one of 1-step episodes."""
    lanes = ScriptedLanes([[(1, 0.0)], [(100, 1.0)]])
    scores = [episode.score for episode in play_episodes(lanes, Idle(2), 10, seed=0)]
    assert np.mean(scores) == 50


def test_an_episode_that_never_ends_is_cut_and_counted() -> None:
    lanes = ScriptedLanes([[(10**9, -1.0)], [(3, 1.0)]])
    played = play_episodes(lanes, Idle(2), 4, seed=0, max_steps=20)
    assert [(e.score, e.length_steps, e.cut) for e in played] == [
        (-20.0, 20, True), (-20.0, 20, True), (3.0, 3, False), (3.0, 3, False),
    ]  # fmt: skip
    assert cut_note(played) == ", 2 cut after 20 steps" and cut_note(played[2:]) == ""
    on_time = play_episodes(ScriptedLanes([[(20, 1.0)]]), Idle(1), 1, seed=0, max_steps=20)
    assert not on_time[0].cut


def test_what_finished_before_a_stop_is_kept() -> None:
    lanes = ScriptedLanes([[(3, 1.0)]])
    assert play_episodes(lanes, Idle(1), 1, 0, stop=lambda: True) == []
    asked = iter([False, False, True])
    assert play_episodes(lanes, Idle(1), 1, 0, stop=lambda: next(asked)) == []
    told: list[tuple[int, int]] = []
    asked = iter([False] * 5 + [True])
    played = play_episodes(
        lanes, Idle(1), 2, 0, stop=lambda: next(asked), report=lambda *now: told.append(now)
    )
    assert [episode.score for episode in played] == [3.0]
    assert told == [(0, 1), (0, 2), (1, 3), (1, 3), (1, 4)]


def test_watch_sees_every_tick() -> None:
    lanes = ScriptedLanes([[(3, 1.0)]])
    seen: list[bool] = []
    play_episodes(lanes, Idle(1), 2, 0, watch=lambda step, _: seen.append(bool(step.valid[0])))
    # reset, two steps; the end is only watched on the way to the next episode
    assert seen == [False, True, True, True, False, True, True]


@pytest.mark.parametrize(("episodes", "lanes", "each"), [(1, 1, 1), (10, 10, 1), (30, 15, 2)])
def test_episodes_of_an_evaluation_are_shared_equally(episodes: int, lanes: int, each: int) -> None:
    """No lane waits while another plays one more."""
    opened: list[ScriptedLanes] = []
    ticks = 0

    def open_lanes(count: int) -> ScriptedLanes:
        opened.append(ScriptedLanes([[(5, 1.0)]] * count))
        return opened[-1]

    class Counting(Idle):
        def act(self, step: Step) -> np.ndarray:
            nonlocal ticks
            ticks += 1
            return super().act(step)

    evaluate = by_episodes(
        open_lanes, lambda lanes, seed: Counting(lanes.num_lanes), lambda score: None,
        RunConfig(evaluate_episodes=episodes),
    )  # fmt: skip
    assessment = evaluate(0, 1, lambda: False)
    assert assessment is not None and assessment.scores == [5.0] * episodes
    assert opened[0].num_lanes == lanes
    assert ticks == 6 * each - 1, "five steps, and one that starts the next episode"
