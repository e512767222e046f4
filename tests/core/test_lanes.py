"""Frame stacks against a deque per lane, and the check of actions."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.lanes import (
    FrameStack,
    ObservationSpec,
    Step,
    check_actions,
    first_step,
    restored_step,
    standing_actions,
)


def step_of(observation: np.ndarray, first: np.ndarray, busy: np.ndarray) -> Step:
    none = np.zeros(len(first), dtype=bool)
    return Step(observation, np.zeros(len(first)), none, none, none, ~(first | busy), first)


@given(
    shape=st.sampled_from([(3, 2), (2, 3, 3), (4,)]),
    stack=st.integers(1, 4),
    news=st.lists(
        st.lists(st.sampled_from(["step", "first", "busy"]), min_size=2, max_size=2),
        min_size=1,
        max_size=12,
    ),
    cut=st.integers(0, 12),
)
def test_frame_stack_equals_deques(
    shape: tuple[int, ...], stack: int, news: list[list[str]], cut: int
) -> None:
    spec = ObservationSpec(shape, "uint8", stack)
    frames = FrameStack(spec, 2)
    slow = [deque([np.zeros(shape, np.uint8)] * stack, maxlen=stack) for _ in range(2)]
    for tick, kinds in enumerate(np.array(news)):
        observation = np.random.default_rng(tick).integers(0, 256, (2, *shape), dtype=np.uint8)
        for lane in range(2):
            if kinds[lane] == "first":
                slow[lane].extend([np.zeros(shape, np.uint8)] * stack)
            if kinds[lane] != "busy":
                slow[lane].append(observation[lane])
        shown = frames.push(step_of(observation, kinds == "first", kinds == "busy"))
        expected = np.stack([np.stack(list(lane)) for lane in slow])
        if spec.stacked_shape == shape:
            expected = expected[:, 0]
        assert shown.shape == (2, *spec.stacked_shape)
        assert shown.dtype == np.uint8
        assert np.array_equal(shown, expected)
        assert np.array_equal(frames.observation, expected)
        if tick == cut:  # a resumed run goes on with the same frames
            saved, frames = frames.state_dict(), FrameStack(spec, 2)
            frames.load_state_dict(saved)
            saved["stacks"][:] = 7


def test_frame_stacks_of_an_earlier_version_are_read() -> None:
    spec = ObservationSpec((3, 2), "uint8", 4)
    shown = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 2), dtype=np.uint8)
    frames = FrameStack(spec, 2)
    frames.load_state_dict({"frames": np.moveaxis(shown, 1, -1)})
    assert np.array_equal(frames.observation, shown)


def test_frame_stack_refuses_another_shape() -> None:
    state = FrameStack(ObservationSpec((4, 4), "uint8", 4), 2).state_dict()
    for spec, lanes in (
        (ObservationSpec((4, 4), "uint8", 3), 2),
        (ObservationSpec((4, 4), "float32", 4), 2),
        (ObservationSpec((4, 4), "uint8", 4), 3),
    ):
        with pytest.raises(UserError, match="frame stack"):
            FrameStack(spec, lanes).load_state_dict(state)


def test_a_busy_lane_stays_with_the_action_it_was_sent() -> None:
    step = step_of(np.zeros((3, 1)), np.array([True, False, False]), np.array([False, True, False]))
    chosen, before = np.array([1, 2, 3]), np.array([7, 8, 9])
    assert standing_actions(step, chosen, before).tolist() == [1, 8, 3]


def test_a_step_of_an_earlier_checkpoint_started_where_it_was_not_valid() -> None:
    step = step_of(np.zeros((2, 1)), np.array([True, False]), np.array([False, False]))
    saved = {name: value for name, value in vars(step).items() if name != "first"}
    assert restored_step(saved).first.tolist() == [True, False]


def test_first_step_is_not_valid() -> None:
    step = first_step(np.zeros((3, 2)))
    assert step.first.all()
    assert not step.done.any()
    step.terminated[0] = True  # the arrays are not one and the same
    assert not step.truncated.any()
    assert not step.valid.any()


@pytest.mark.parametrize(
    "bad", [[0, 1], [0, 1, 3], [0, -1, 2], [[0, 1, 2]], [0.0, 1.0, 2.0], [True, False, True]]
)
def test_bad_actions_are_refused(bad: list[object]) -> None:
    with pytest.raises(ValueError, match="actions"):
        check_actions(np.array(bad), 3, 3)


def test_good_actions_become_int64() -> None:
    checked = check_actions(np.array([0, 2, 1], dtype=np.uint8), 3, 3)
    assert checked.dtype == np.int64
    assert checked.tolist() == [0, 2, 1]
