"""Columns of a memory's own: amended later, kept by checkpoints, drawn with positions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.replay.plan import Column, plan_replay
from core.replay.ring import FrameReplay, ReplaySpec
from core.replay.sampling import PositionSampler

SPEC = ReplaySpec(
    capacity=60, lanes=2, frame_shape=(3,), frame_dtype="float32", stack=1, n_step=1,
    storage="ram", headroom=24,
    columns=(Column("outcome", "float32", default=np.nan), Column("wish", "float32", (2,))),
)  # fmt: skip


def play(replay: FrameReplay, ticks: int) -> list[int]:
    """Rows of both lanes; the frame says which row and lane it is."""
    no, yes = np.zeros(2, bool), np.ones(2, bool)
    rows = []
    for tick in range(replay.end, replay.end + ticks):
        frame = np.array([[tick, lane, 0] for lane in range(2)], np.float32)
        wish = np.array([[tick, -tick]] * 2, np.float32)
        rows.append(replay.append(frame, no, no, no, no, yes, no, wish=wish))
    return rows


@pytest.mark.parametrize("storage", ["ram", "mmap", "packed"])
def test_positions_are_drawn_once_their_outcome_is_known(tmp_path: Path, storage: str) -> None:
    spec = replace(SPEC, storage=storage)
    replay = FrameReplay(spec, tmp_path)
    sampler = PositionSampler(replay, "outcome")
    rng = np.random.default_rng(0)
    with pytest.raises(RuntimeError, match="no position"):
        sampler.sample(rng, 1)
    rows = play(replay, 20)
    assert rows == list(range(20)) and not sampler.can_sample(1)
    replay.amend(np.array([3, 4, 9]), np.array([0, 0, 1]), "outcome", np.array([1.0, -1.0, 0.5]))
    for restored in (False, True):
        if restored:
            state = replay.checkpoint()
            replay.close()
            replay = FrameReplay(spec, tmp_path)
            replay.restore(state)
            sampler = PositionSampler(replay, "outcome")
        assert sampler.can_sample(3) and not sampler.can_sample(4)
        drawn = sampler.sample(rng, 900)
        known = {(3, 0): 1.0, (4, 0): -1.0, (9, 1): 0.5}
        for place, outcome in known.items():
            here = (drawn.row == place[0]) & (drawn.lane == place[1])
            assert 200 < here.sum() < 400, "uniformly"
            assert (drawn.columns["outcome"][here] == outcome).all()
            assert (drawn.columns["wish"][here] == [place[0], -place[0]]).all()
            assert (drawn.observation[here, :2] == place).all()
    play(replay, 40)
    assert not sampler.can_sample(1), "rows that left the window are not drawn"


def test_a_position_whose_stack_was_overwritten_is_not_drawn(tmp_path: Path) -> None:
    replay, no = FrameReplay(replace(SPEC, stack=3), tmp_path), np.zeros(2, bool)
    for tick in range(300):  # one long episode; the second lane answers at every sixth tick
        busy = np.array([False, tick % 6 != 0])
        frame = np.full((2, 3), tick, np.float32)
        replay.append(frame, no, no, no, no, ~busy, np.full(2, tick == 0), busy)
    replay.amend(np.repeat(np.arange(300), 2), np.tile([0, 1], 300), "outcome", 1.0)
    drawn = PositionSampler(replay, "outcome").sample(np.random.default_rng(0), 2_000)
    seen = drawn.observation[..., 0]  # [B, K]: the row that each frame of a stack is of
    apart = np.where(drawn.lane == 0, 1, 6)[:, None]
    np.testing.assert_array_equal(seen, drawn.row[:, None] - apart * [2, 1, 0])
    assert set(drawn.lane.tolist()) == {0, 1}


def test_only_rows_that_are_held_are_amended(tmp_path: Path) -> None:
    replay = FrameReplay(SPEC, tmp_path)
    play(replay, 100)
    replay.amend(np.arange(100), 1, "outcome", 1.0)
    outcome = replay.columns["outcome"]
    assert int((outcome == 1).sum()) == SPEC.retained_rows
    assert (outcome[np.arange(70, 100) % replay.plan.rows, 1] == 1).all()
    for rows, column in (([100], "outcome"), ([-1], "outcome"), ([99], "reward")):
        with pytest.raises(ValueError, match=r"rows|column"):
            replay.amend(np.array(rows), np.array([0]), column, 1.0)


def test_columns_count_in_the_plan() -> None:
    plain = plan_replay(replace(SPEC, columns=()))
    assert plan_replay(SPEC).memory_bytes - plain.memory_bytes == plain.rows * SPEC.lanes * 12


def test_checksums_are_computed_when_rows_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for storage in ("ram", "mmap", "packed"):
        replay = FrameReplay(replace(SPEC, storage=storage), tmp_path / storage)
        with monkeypatch.context() as patch:
            patch.delattr("zlib.crc32")
            play(replay, 30)
        assert len(replay.checkpoint()["frames"]["checksum"])
