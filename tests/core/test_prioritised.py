"""Prioritised sampling: the sum tree against running sums, what is drawn against a slow model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.replay.prioritised import LEAST_PRIORITY, PrioritisedSampler
from core.replay.ring import FrameReplay, ReplaySpec
from core.replay.sampling import Transitions, TransitionSampler
from core.replay.sum_tree import empty_tree, find_leaves, leaves_of, set_leaves
from tests.core.replay_model import SPEC, Model, filled


@settings(max_examples=50)
@given(
    values=st.lists(st.sampled_from([0.0, 1e-3, 0.5, 1.0, 7.0]), min_size=1, max_size=20),
    again=st.lists(st.tuples(st.integers(0, 19), st.floats(0, 5)), max_size=10),
)
def test_leaves_are_found_where_the_running_sum_says(
    values: list[float], again: list[tuple[int, float]]
) -> None:
    tree = empty_tree(len(values))
    set_leaves(tree, np.arange(len(values)), np.array(values))
    for leaf, value in again:
        values[leaf % len(values)] = value
        set_leaves(tree, np.array([leaf % len(values)]), np.array([value]))
    assert leaves_of(tree)[: len(values)].tolist() == values
    assert tree[1] == pytest.approx(sum(values))
    if tree[1] == 0:
        return
    masses = np.linspace(0, 1, 50, endpoint=False) * tree[1]
    found = np.empty(50, np.int64)
    find_leaves(tree, masses, found)
    ends = np.cumsum(values)
    for mass, leaf in zip(masses, found, strict=True):
        assert values[leaf] > 0
        assert ends[leaf] - values[leaf] <= mass + 1e-9
        assert mass <= ends[leaf] + 1e-9


def test_a_mass_rounded_up_to_the_sum_finds_no_empty_leaf() -> None:
    tree = empty_tree(8)
    set_leaves(tree, np.array([1, 4]), np.array([0.1, 0.2]))
    found = np.empty(2, np.int64)
    find_leaves(tree, np.array([tree[1], np.nextafter(tree[1], 1)]), found)
    assert found.tolist() == [4, 4]


def drawn(sampler: TransitionSampler, count: int, seed: int = 0) -> Transitions:
    return sampler.sample(np.random.default_rng(seed), count, 0.9, False)


def places(batch: Transitions) -> list[tuple[int, int]]:
    return list(zip(batch.row.tolist(), batch.lane.tolist(), strict=True))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    ticks=st.integers(1, 90),
    stops=st.sets(st.integers(1, 89), max_size=3),
    lanes=st.integers(1, 3),
    window=st.integers(5, 40),
    stack=st.sampled_from([1, 4]),
    n_step=st.integers(1, 4),
    busy=st.sampled_from([0.0, 0.4]),
)
def test_draws_exactly_what_the_episodes_hold(
    tmp_path_factory: pytest.TempPathFactory, seed: int, ticks: int, stops: set[int], lanes: int,
    window: int, stack: int, n_step: int, busy: float,
) -> None:  # fmt: skip
    """However often it was drawn from meanwhile, and whatever priorities were given."""
    spec = ReplaySpec(window * lanes, lanes, (2, 3), "uint8", stack, n_step, "ram", 3)
    model = Model(spec, seed, busy)
    replay = FrameReplay(spec, tmp_path_factory.mktemp("replay"))
    sampler = PrioritisedSampler(replay, 0.5)
    rng = np.random.default_rng(seed)
    for tick in range(ticks):
        if tick in stops:
            model.end_episodes(replay)
        model.tick(replay)
        if rng.random() < 0.3 and sampler.can_sample(1):
            batch = drawn(sampler, 4, seed)
            sampler.update(batch.row, batch.lane, rng.uniform(0.5, 2.0, 4))
    expected = model.transitions(0.9, False)
    if not expected:
        with pytest.raises(RuntimeError):
            drawn(sampler, 1)
        return
    batch = drawn(sampler, 60 * len(expected))
    assert set(places(batch)) == expected.keys()
    for index, place in enumerate(places(batch)):
        observation, action, total, bootstrap, following = expected[place]
        np.testing.assert_array_equal(batch.observation[index], observation)
        np.testing.assert_array_equal(batch.next_observation[index], following)
        assert batch.action[index] == action
        assert batch.n_step_return[index] == pytest.approx(total, rel=1e-6, abs=1e-7)
        assert batch.bootstrap_discount[index] == pytest.approx(bootstrap)


def test_chances_and_weights_are_those_of_the_paper(tmp_path: Path) -> None:
    alpha, beta = 0.6, 0.4
    replay, model = filled(SPEC, tmp_path, 70)
    sampler = PrioritisedSampler(replay, alpha)
    sampler.beta = beta
    drawable = sorted(model.transitions(0.9, False))
    rng = np.random.default_rng(1)
    priority = dict(zip(drawable, rng.uniform(0, 5, len(drawable)), strict=True))
    drawn(sampler, 1)
    rows, lanes = np.array(drawable).T
    sampler.update(rows, lanes, np.array(list(priority.values())))

    powers = {place: (value + LEAST_PRIORITY) ** alpha for place, value in priority.items()}
    chances = {place: power / sum(powers.values()) for place, power in powers.items()}
    draws = 200_000
    batch = drawn(sampler, draws)
    counts = dict.fromkeys(drawable, 0)
    for place in places(batch):
        counts[place] += 1
    for place, chance in chances.items():  # 6 standard deviations of as many independent draws
        assert abs(counts[place] / draws - chance) < 6 * (chance / draws) ** 0.5
    small = drawn(sampler, 32)
    weights = [(len(drawable) * chances[place]) ** -beta for place in places(small)]
    assert small.weight is not None and small.weight.dtype == np.float32
    np.testing.assert_allclose(small.weight, np.array(weights) / max(weights), rtol=1e-5)


def test_a_batch_takes_one_from_each_equal_part_of_the_priorities(tmp_path: Path) -> None:
    """Appendix B.2.1: of 64 equals, 64 independent draws meet 40 or so."""
    spec = replace(SPEC, lanes=1, stack=1, n_step=1, capacity=64)
    replay = FrameReplay(spec, tmp_path)
    false, zero = np.zeros(1, bool), np.zeros(1)
    for row in range(65):  # one endless episode; the last has nothing to bootstrap from
        frame = np.full((1, 2, 3), row, np.uint8)
        replay.append(frame, zero, zero, false, false, ~false, np.array([row == 0]))
    batch = drawn(PrioritisedSampler(replay, 1.0), 64)
    assert len(set(batch.row.tolist())) > 48


def test_new_transitions_have_the_largest_priority_so_far(tmp_path: Path) -> None:
    replay, model = filled(SPEC, tmp_path, 20)
    sampler = PrioritisedSampler(replay, 1.0)
    batch = drawn(sampler, 500)
    assert batch.weight is not None and (batch.weight == 1).all(), "all are new"
    sampler.update(batch.row, batch.lane, np.full(500, 0.01))
    sampler.update(batch.row[:1], batch.lane[:1], np.array([30.0]))
    before = set(model.transitions(0.9, False))
    for _ in range(4):
        model.tick(replay)
    new = set(model.transitions(0.9, False)) - before
    assert new
    hits = [place for place in places(drawn(sampler, 1_000)) if place in new]
    assert len(hits) / 1_000 == pytest.approx(len(new) / (len(new) + 1), abs=0.1)
    assert sampler.largest == pytest.approx(30.0)


def test_priorities_of_rows_that_left_the_window_are_passed_over(tmp_path: Path) -> None:
    replay, model = filled(SPEC, tmp_path, 40)
    sampler = PrioritisedSampler(replay, 0.5)
    old = drawn(sampler, 50)
    for _ in range(60):
        model.tick(replay)
    drawn(sampler, 1)
    before = sampler.state_dict()
    sampler.update(old.row, old.lane, np.full(50, 99.0))
    after = sampler.state_dict()
    np.testing.assert_array_equal(before.pop("powers"), after.pop("powers"))
    assert before == after


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_priorities_must_be_numbers(tmp_path: Path, wrong: float) -> None:
    replay, _ = filled(SPEC, tmp_path, 20)
    sampler = PrioritisedSampler(replay, 0.5)
    batch = drawn(sampler, 1)
    with pytest.raises(ValueError, match="finite"):
        sampler.update(batch.row, batch.lane, np.array([wrong]))


def exercised(folder: Path, ticks: int) -> tuple[FrameReplay, Model, PrioritisedSampler]:
    """A memory in use, whose transitions have had several priorities each."""
    replay, model = FrameReplay(SPEC, folder), Model(SPEC, 3)
    sampler = PrioritisedSampler(replay, 0.7)
    for tick in range(ticks):
        model.tick(replay)
        if tick > 8 and tick % 3 == 0:
            batch = drawn(sampler, 8, tick)
            sampler.update(batch.row, batch.lane, np.random.default_rng(tick).uniform(0, 3, 8))
    return replay, model, sampler


@pytest.mark.parametrize("ticks", [17, 70])
def test_a_checkpoint_brings_the_priorities_back_exactly(tmp_path: Path, ticks: int) -> None:
    replay, _, sampler = exercised(tmp_path, ticks)
    state, priorities = replay.checkpoint(), sampler.state_dict()
    again = FrameReplay(SPEC, tmp_path)
    again.restore(state)
    restored = PrioritisedSampler(again, 0.7)
    restored.load_state_dict(priorities)
    for a, b in zip(vars(drawn(sampler, 300)).items(), vars(drawn(restored, 300)).items(),
                    strict=True):  # fmt: skip
        np.testing.assert_array_equal(a[1], b[1], err_msg=a[0])
    assert restored.largest == sampler.largest


def test_rows_lost_since_the_checkpoint_lose_their_priorities_only(tmp_path: Path) -> None:
    replay, model, sampler = exercised(tmp_path, 60)
    state, priorities = replay.checkpoint(), sampler.state_dict()
    for _ in range(replay.headroom_rows + 12):  # overwrites rows that the checkpoint refers to
        model.tick(replay)
    replay.checkpoint()
    again = FrameReplay(SPEC, tmp_path)
    again.restore(state)
    assert again.dropped
    restored = PrioritisedSampler(again, 0.7)
    restored.load_state_dict(priorities)
    lost = again.window_start - priorities["start"]
    assert lost > 0
    np.testing.assert_array_equal(restored.state_dict()["powers"], priorities["powers"][lost:])
    assert drawn(restored, 300).row.min() >= again.window_start


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.update(end=state["end"] - 1),
        lambda state: state.update(start=-1),
        lambda state: state.update(largest=float("nan")),
        lambda state: state.update(powers=state["powers"][1:]),
        lambda state: state.update(powers=state["powers"].astype(np.float32)),
        lambda state: state.update(powers=np.zeros_like(state["powers"])),
        lambda state: state.update(powers=np.full_like(state["powers"], np.inf)),
        lambda state: state.update(powers=-state["powers"]),
    ],
)
def test_priorities_of_another_memory_are_refused(tmp_path: Path, damage: Any) -> None:
    replay, _, sampler = exercised(tmp_path, 40)
    state = sampler.state_dict()
    damage(state)
    with pytest.raises(UserError, match="fresh-replay"):
        PrioritisedSampler(replay, 0.7).load_state_dict(state)
