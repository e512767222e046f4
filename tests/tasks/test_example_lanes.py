"""Lanes of examples: every example once an epoch, in an order that a seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import UserError
from tasks.example_lanes import ExampleLanes


def deal(lanes: ExampleLanes, batches: int) -> np.ndarray:
    """The next batches, one after the other."""
    dealt = []
    for _ in range(batches):
        lanes.send(np.zeros(lanes.num_lanes, np.int64))
        dealt.append(lanes.receive().observation)
    return np.concatenate(dealt)


@pytest.mark.parametrize(("lanes", "examples"), [(3, 10), (1, 4), (5, 5), (4, 12), (7, 9)])
def test_every_epoch_has_every_example_once(lanes: int, examples: int) -> None:
    epochs = 6
    dealer = ExampleLanes(lanes, examples)
    first = dealer.reset(5).observation
    batches = -(-epochs * examples // lanes)
    stream = np.concatenate([first, deal(dealer, batches)])[: epochs * examples]
    rounds = stream.reshape(epochs, examples)
    assert (np.sort(rounds, axis=1) == np.arange(examples)).all()
    if examples > 4:
        assert len(np.unique(rounds, axis=0)) > 1


def test_the_seed_decides() -> None:
    one, other = ExampleLanes(4, 50), ExampleLanes(4, 50)
    a, b = one.reset(1), other.reset(1)
    np.testing.assert_array_equal(a.observation, b.observation)
    np.testing.assert_array_equal(deal(one, 30), deal(other, 30))
    assert not np.array_equal(one.reset(2).observation, a.observation)


def test_steps_are_those_of_lanes_that_never_end() -> None:
    lanes = ExampleLanes(3, 8)
    first = lanes.reset(0)
    assert first.first.all() and first.observation.dtype == np.int64
    lanes.send(np.zeros(3, np.int64))
    step = lanes.receive()
    assert step.valid.all() and not step.done.any() and not step.reward.any()


@pytest.mark.parametrize("before", [1, 7, 20])
def test_a_restored_dealer_goes_on(before: int) -> None:
    lanes = ExampleLanes(4, 11)
    lanes.reset(3)
    deal(lanes, before)
    state = lanes.state_dict()
    wanted = deal(lanes, 9)
    resumed = ExampleLanes(4, 11)
    resumed.reset(99)
    resumed.load_state_dict(state)
    np.testing.assert_array_equal(deal(resumed, 9), wanted)


def test_what_cannot_be_dealt_is_refused() -> None:
    with pytest.raises(UserError, match=r"7 examples .* fewer than one batch: --batch-size"):
        ExampleLanes(8, 7)
    lanes = ExampleLanes(2, 7)
    with pytest.raises(UserError, match="trained on 9 examples, the data have 7 now"):
        lanes.load_state_dict({"seed": 0, "dealt": 0, "examples": 9})
    with pytest.raises(ValueError, match=r"actions must lie in 0\.\.0"):
        lanes.send(np.ones(2, np.int64))
