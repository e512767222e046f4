"""What is drawn from the replay memory, and what a checkpoint brings back, against a slow model."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.replay.on_device import DeviceFrames
from core.replay.ring import FrameReplay, ReplaySpec
from core.replay.sampling import TransitionSampler
from tests.core.replay_model import (
    SPEC,
    STORAGES,
    Fan,
    Model,
    assert_agrees,
    assert_same,
    draw,
    filled,
)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread the packed frames of small memories over several files."""
    monkeypatch.setattr("core.replay.packed._SEGMENT_FRAMES", 16)


# ------------------------------------------------------------------ what is drawn


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    ticks=st.integers(1, 70),
    stops=st.sets(st.integers(0, 70), max_size=4),
    lanes=st.integers(1, 3),
    window=st.integers(5, 40),
    stack=st.sampled_from([1, 2, 4]),
    n_step=st.integers(1, 4),
    form=st.sampled_from([((2, 3), "uint8"), ((3,), "float32"), ((2,), "int64")]),
    clip=st.booleans(),
    busy=st.sampled_from([0.0, 0.4]),
)
def test_draws_what_the_episodes_hold(
    tmp_path_factory: pytest.TempPathFactory, seed: int, ticks: int, stops: set[int], lanes: int,
    window: int, stack: int, n_step: int, form: tuple[tuple[int, ...], str], clip: bool,
    busy: float,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("replay")
    spec = ReplaySpec(window * lanes + lanes // 2, lanes, *form, stack, n_step, "ram", 3)
    model = Model(spec, seed, busy)
    replays = [FrameReplay(replace(spec, storage=name), folder / name) for name in STORAGES]
    replays.append(mirrored(FrameReplay(spec, folder / "mirrored")))
    for tick in range(ticks):
        if tick > 0 and tick in stops:
            model.end_episodes(Fan(replays))
        model.tick(Fan(replays))
    assert replays[0].size == min(model.rows, window) * lanes <= spec.capacity
    assert_agrees(replays[0], model, clip)
    if model.transitions(0.9, clip):
        batches = [draw(replay) for replay in replays]
        assert_same(batches[0], batches[1])
        assert_same(batches[0], batches[2])
        assert_same(batches[0], batches[3])
    for replay in replays:
        replay.close()


def test_holes_of_busy_lanes_survive_a_checkpoint(tmp_path: Path) -> None:
    replay, model = FrameReplay(SPEC, tmp_path), Model(SPEC, 4, busy=0.6)
    for _ in range(90):
        model.tick(replay)
        state, replay = replay.checkpoint(), FrameReplay(SPEC, tmp_path)
        replay.restore(state)
    assert_agrees(replay, model)


def mirrored(replay: FrameReplay) -> FrameReplay:
    replay.mirror(DeviceFrames(replay.spec, "cpu"))
    return replay


@pytest.mark.parametrize("ticks", [3, 30, 83])
def test_a_mirror_shows_what_was_there_before_it(tmp_path: Path, ticks: int) -> None:
    """Or what a checkpoint brings back, and goes on from there."""
    replay, model = filled(SPEC, tmp_path, ticks)
    expected = draw(replay)
    restored = mirrored(FrameReplay(SPEC, tmp_path))
    restored.restore(replay.checkpoint())
    for other in (restored, mirrored(replay)):
        batch = draw(other)
        assert isinstance(batch.observation, torch.Tensor)
        assert_same(batch, expected)
    for _ in range(40):
        model.tick(restored)
    assert_agrees(restored, model)


def test_observations_are_channels_last_in_memory(tmp_path: Path) -> None:
    replay, _ = filled(SPEC, tmp_path, 40)
    batch = draw(replay)
    assert batch.observation.shape == batch.next_observation.shape == (200, 4, 2, 3)
    assert np.moveaxis(np.asarray(batch.observation), 1, -1).flags.c_contiguous
    single, _ = filled(replace(SPEC, stack=1), tmp_path / "single", 40)
    assert draw(single).observation.shape == (200, 1, 2, 3)


def test_every_transition_is_as_likely(tmp_path: Path) -> None:
    replay, model = filled(SPEC, tmp_path, 90)
    keys = sorted(model.transitions(0.9, False))
    batch = TransitionSampler(replay).sample(np.random.default_rng(1), 400 * len(keys), 0.9, False)
    counts = np.unique(batch.row * SPEC.lanes + batch.lane, return_counts=True)[1]
    chi_squared = float(((counts - 400) ** 2 / 400).sum())
    freedom = len(keys) - 1
    assert len(counts) == len(keys)
    assert abs(chi_squared - freedom) < 5 * np.sqrt(2 * freedom)


def test_wrong_frames_are_refused(tmp_path: Path) -> None:
    replay, _ = filled(SPEC, tmp_path, 5)
    column = np.zeros(2)
    for frame in (np.zeros((2, 3, 2), np.uint8), np.zeros((2, 2, 3), np.float32)):
        with pytest.raises(ValueError, match="frames must be uint8"):
            replay.append(frame, column, column, column, column, column, column)
    assert replay.size == 10


# ------------------------------------------------------------------ checkpoints


@pytest.mark.parametrize("ticks", [0, 3, 30, 83])
@pytest.mark.parametrize(
    ("saved_as", "restored_as"),
    [("ram", "ram"), ("ram", "mmap"), ("mmap", "ram"), ("mmap", "mmap"), ("packed", "packed")],
)
def test_going_back_to_a_checkpoint(
    tmp_path: Path, saved_as: str, restored_as: str, ticks: int
) -> None:
    replay, model = filled(replace(SPEC, storage=saved_as), tmp_path, ticks // 2)
    replay.checkpoint()
    for _ in range(ticks - ticks // 2):
        model.tick(replay)
    state = replay.checkpoint()
    assert replay.rows_since_checkpoint == 0
    expected = draw(replay) if ticks > 3 else None
    for timeline in range(2):
        # Rows that are lost, up to the headroom; the second time they were saved, too.
        lost = Model(SPEC, seed=timeline + 1)
        lost.rows = model.rows
        while replay.rows_since_checkpoint < replay.headroom_rows:
            lost.tick(replay)
        if timeline:
            replay.checkpoint()
        replay.close()
        replay = FrameReplay(replace(SPEC, storage=restored_as), tmp_path)
        replay.restore(state)
        assert replay.dropped == 0
        assert replay.size == min(ticks, 30) * 2
        if expected:
            assert_same(draw(replay), expected)
    model.end_episodes(replay)
    for _ in range(8):
        for _ in range(5):
            model.tick(replay)
        assert_agrees(replay, model)


@pytest.mark.parametrize("storage", ["ram", "packed"])
def test_a_checkpoint_writes_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    written = []
    pwrite = os.pwrite

    def write_half(descriptor: int, data: memoryview, offset: int) -> int:
        written.append(len(data))
        return pwrite(descriptor, data[: max(1, len(data) // 2)], offset)

    spec = replace(SPEC, storage=storage, frame_shape=(20, 20))
    replay, model = filled(spec, tmp_path, 50)
    replay.checkpoint()
    for _ in range(8):
        model.tick(replay)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", write_half)
        state = replay.checkpoint()
    assert 0 < max(written) <= 8 * 2 * 400 + 100
    restored = FrameReplay(spec, tmp_path)
    restored.restore(state)
    assert_same(draw(restored), draw(replay))


def test_rows_overwritten_since_are_dropped(tmp_path: Path) -> None:
    for storage in ("ram", "mmap"):
        replay, model = filled(replace(SPEC, storage=storage), tmp_path / storage, 100)
        state = replay.checkpoint()
        lost = Model(SPEC, 9)
        lost.rows = 100
        spare = replay.plan.file_rows - SPEC.retained_rows
        for _ in range(spare + 7):
            lost.tick(replay)
        replay.checkpoint()
        restored = FrameReplay(replace(SPEC, storage="ram"), tmp_path / storage)
        restored.restore(state)
        assert restored.dropped == 7 * SPEC.lanes
        model.oldest = 100 - SPEC.retained_rows + 7
        assert_agrees(restored, model)
        for _ in range(60):
            lost.tick(replay)
        replay.checkpoint()
        with pytest.raises(UserError, match=r"all 33 rows .* --fresh-replay"):
            FrameReplay(SPEC, tmp_path / storage).restore(state)


def test_rows_overwritten_by_the_same_picture_are_dropped_too(tmp_path: Path) -> None:
    replay = FrameReplay(SPEC, tmp_path)
    frame, on, off = np.ones((2, 2, 3), np.uint8), np.ones(2, bool), np.zeros(2, bool)
    states = []
    for rows in (60, replay.plan.file_rows - SPEC.retained_rows + 5):
        for _ in range(rows):
            replay.append(frame, off, off, off, off, on, off)
        states.append(replay.checkpoint())
    restored = FrameReplay(SPEC, tmp_path)
    restored.restore(states[0])
    assert restored.dropped == 5 * SPEC.lanes


def test_packed_files_are_removed_when_no_checkpoint_needs_them(tmp_path: Path) -> None:
    spec = replace(SPEC, storage="packed", headroom=0)
    replay, model = filled(spec, tmp_path, 100)  # 8 rows in a segment, 33 rows needed
    (tmp_path / "segment-000000777.lz4").write_bytes(b"of a timeline that was given up")
    old = replay.checkpoint()
    names = [f"segment-{number:09d}.lz4" for number in range(67 // 8, 100 // 8 + 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for _ in range(60):
        model.tick(replay)
    replay.checkpoint()  # might not be completed: still keeps what `old` needs
    restored = FrameReplay(spec, tmp_path)
    restored.restore(old)
    assert restored.dropped == 0
    (tmp_path / names[0]).unlink()
    restored.restore(old)
    assert restored.dropped == (72 - 67) * 2
    (tmp_path / names[2]).unlink()
    with pytest.raises(UserError, match=f"{names[2]} is missing"):
        FrameReplay(spec, tmp_path).restore(old)
    for _ in range(8):
        model.tick(replay)
    replay.checkpoint()
    with pytest.raises(UserError, match="missing"):
        FrameReplay(spec, tmp_path).restore(old)


@pytest.mark.parametrize("storage", STORAGES)
def test_damage_is_noticed(tmp_path: Path, storage: str) -> None:
    spec = replace(SPEC, storage=storage)
    replay, _ = filled(spec, tmp_path, 90)
    state = replay.checkpoint()
    replay.close()
    path = max(tmp_path.iterdir())
    good = path.read_bytes()
    newest = 89 % replay.plan.file_rows * 12 if storage != "packed" else len(good) - 3
    for position in (newest, newest - 5):
        bad = bytearray(good)
        bad[position] ^= 4
        path.write_bytes(bad)
        with pytest.raises(UserError, match=f"{path.name} is damaged: .*rows.*--fresh-replay"):
            FrameReplay(spec, tmp_path).restore(state)
    path.write_bytes(good[:100])
    with pytest.raises(UserError, match="damaged"):
        FrameReplay(spec, tmp_path).restore(state)
    path.unlink()
    with pytest.raises(UserError, match="missing"):
        FrameReplay(spec, tmp_path).restore(state)
    path.write_bytes(good)
    FrameReplay(spec, tmp_path).restore(state)


@pytest.mark.parametrize("storage", ["ram", "mmap"])
def test_a_file_without_checksums_gets_them(tmp_path: Path, storage: str) -> None:
    spec = replace(SPEC, storage=storage)
    replay, model = filled(spec, tmp_path, 90)
    state = replay.checkpoint()
    replay.close()
    os.truncate(tmp_path / "frames.bin", replay.plan.file_rows * 12)
    restored = FrameReplay(spec, tmp_path)
    restored.restore(state)
    model.tick(restored)
    state = restored.checkpoint()
    restored.close()
    again = FrameReplay(spec, tmp_path)
    again.restore(state)
    assert again.dropped == 0
    assert_agrees(again, model)


def test_another_form_of_memory_is_refused(tmp_path: Path) -> None:
    replay, _ = filled(SPEC, tmp_path, 20)
    state = replay.checkpoint()
    for change in ({"storage": "packed"}, {"lanes": 3}, {"frame_shape": (3, 2)}, {"capacity": 90}):
        with pytest.raises(UserError, match="--fresh-replay"):
            FrameReplay(replace(SPEC, **change), tmp_path).restore(state)
    state["columns"]["reward"] = state["columns"]["reward"][1:]
    with pytest.raises(UserError, match="column 'reward'"):
        FrameReplay(SPEC, tmp_path).restore(state)


# ------------------------------------------------------------------ a full disk


@pytest.mark.parametrize("storage", STORAGES)
def test_a_full_disk_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    def no_space(*arguments: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    name = "posix_fallocate" if storage == "mmap" else "pwrite"
    replay = FrameReplay(replace(SPEC, storage=storage), tmp_path)
    model = Model(SPEC, 0)
    step: Callable[[], object] = replay.checkpoint
    if storage == "mmap":
        step = partial(Model(SPEC, 0).tick, replay)
    else:
        for _ in range(50):
            model.tick(replay)
    with monkeypatch.context() as patch, pytest.raises(UserError, match="No space left on device"):
        patch.setattr(os, name, no_space)
        step()
    for _ in range(50):
        model.tick(replay)
    assert_agrees(replay, model)
    state = replay.checkpoint()
    restored = FrameReplay(replace(SPEC, storage=storage), tmp_path)
    restored.restore(state)
    assert_agrees(restored, model)


def test_a_sampler_may_sum_fewer_rewards_than_the_memory_allows(tmp_path: Path) -> None:
    """It then draws what a memory of fewer rewards would give it."""
    longer, _ = filled(replace(SPEC, n_step=5), tmp_path / "longer", 40)
    shorter, _ = filled(replace(SPEC, n_step=2), tmp_path / "shorter", 40)
    sampler = TransitionSampler(longer)
    sampler.n_step = 2
    assert_same(sampler.sample(np.random.default_rng(3), 200, 0.9, False), draw(shorter))
