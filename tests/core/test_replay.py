"""The replay memory against a slow model that keeps whole episodes as lists."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.replay import FrameReplay, ReplaySpec, check_fits, plan_replay
from core.replay_plan import read_available_memory
from core.replay_sampling import Transitions, TransitionSampler

STORAGES = ("ram", "mmap", "packed")
SPEC = ReplaySpec(
    capacity=60, lanes=2, frame_shape=(2, 3), frame_dtype="uint8", stack=4, n_step=2,
    storage="ram", headroom=24,
)  # fmt: skip


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread the packed frames of small memories over several files."""
    monkeypatch.setattr("core.replay_packed._SEGMENT_FRAMES", 16)


# ------------------------------------------------------------------ the model


@dataclass
class Turn:
    """What an agent saw and did at one tick of an episode."""

    row: int
    frame: np.ndarray
    action: int
    reward: float
    terminated: bool
    truncated: bool
    life_lost: bool


@dataclass
class Episode:
    """Turns in order, and the frame on which a finished episode ended, with its row."""

    turns: list[Turn] = field(default_factory=list)
    final: tuple[int, np.ndarray] | None = None


class Fan:
    """Hands what one memory is told to several."""

    def __init__(self, replays: list[FrameReplay]) -> None:
        self.replays = replays

    def append(self, *columns: np.ndarray) -> None:
        for replay in self.replays:
            replay.append(*columns)

    def end_episodes(self, observation: np.ndarray) -> None:
        for replay in self.replays:
            replay.end_episodes(observation)


class Model:
    """Feeds a memory from random episodes, and says what may be drawn from it."""

    def __init__(self, spec: ReplaySpec, seed: int, busy: float = 0.0) -> None:
        self.spec = spec
        self.busy = busy
        self.fresh = set(range(spec.lanes))  # lanes whose newest observation starts an episode
        self.rng = np.random.default_rng(seed)
        self.rows = 0
        self.oldest = 0
        self.lanes: list[list[Episode]] = [[Episode()] for _ in range(spec.lanes)]

    def frame(self, lane: int) -> np.ndarray:
        """A frame that no other row or lane has, as far as uint8 can tell them apart."""
        size = int(np.prod(self.spec.frame_shape))
        number = np.arange(size) + 1 + self.rows * 7 + lane * 101
        return (number % 251 + 1).astype(self.spec.frame_dtype).reshape(self.spec.frame_shape)

    def tick(self, replay: FrameReplay | Fan) -> None:
        """One tick of every lane."""
        columns = [self._tick_lane(lane) for lane in range(self.spec.lanes)]
        replay.append(*(np.array(column) for column in zip(*columns, strict=True)))
        busy, first = (np.array([column[i] for column in columns]) for i in (-1, -2))
        if not (busy.all() and not first.any()) or self.rows == 0:  # else it takes no room
            self.rows += 1

    def _tick_lane(self, lane: int) -> tuple[Any, ...]:
        frame, action = self.frame(lane), int(self.rng.integers(18))
        episode = self.lanes[lane][-1]
        if self.rng.random() < self.busy:
            first = lane in self.fresh
            self.fresh.discard(lane)
            return frame, action, 9.0, False, False, False, first, True
        last = episode.turns[-1] if episode.turns else None
        reward = float(np.float32(self.rng.choice([-2.5, 0.0, 0.1, 7.0])))
        if last and (last.truncated or (last.terminated and not last.life_lost)):
            episode.final = (self.rows, frame)
            self.lanes[lane].append(Episode())
            self.fresh.add(lane)
            return frame, action, 0.0, False, False, False, False, False
        chance = self.rng.random()
        ends, cut, life = chance < 0.1, 0.1 <= chance < 0.2, 0.2 <= chance < 0.3
        turn = Turn(self.rows, frame, action, reward, ends or life, cut, life)
        episode.turns.append(turn)
        first = lane in self.fresh
        self.fresh.discard(lane)
        return frame, action, reward, ends or life, cut, True, first, False

    def end_episodes(self, replay: FrameReplay | Fan) -> None:
        """The program stopped here, and the lanes start anew."""
        if self.rows == 0:
            replay.end_episodes(np.zeros((self.spec.lanes, *self.spec.frame_shape), np.uint8))
            return
        frames = [self.frame(lane) for lane in range(self.spec.lanes)]
        replay.end_episodes(np.array(frames))
        for episodes, frame in zip(self.lanes, frames, strict=True):
            episode = episodes[-1]
            if episode.turns:
                last = episode.turns[-1]
                last.truncated = last.truncated or not last.terminated
                episode.final = (self.rows, frame)
                episodes.append(Episode())
        self.fresh = set(range(self.spec.lanes))
        self.rows += 1

    def transitions(self, discount: float, clip: bool) -> dict[tuple[int, int], tuple[Any, ...]]:
        """Everything that may be drawn: (row, lane) -> what a batch must say about it."""
        spec = self.spec
        found = {}
        oldest = max(self.oldest, self.rows - spec.retained_rows)
        window = max(oldest, self.rows - spec.capacity // spec.lanes)
        for lane, episodes in enumerate(self.lanes):
            for episode in episodes:
                frames = [(turn.row, turn.frame) for turn in episode.turns]
                frames += [episode.final] if episode.final else []
                for t, turn in enumerate(episode.turns):
                    used = episode.turns[t : t + spec.n_step]
                    stop = next(
                        (i + 1 for i, x in enumerate(used) if x.terminated or x.truncated),
                        spec.n_step,
                    )
                    used = used[:stop]
                    if turn.row < window or t + stop >= len(frames):
                        continue
                    if frames[max(0, t - spec.stack + 1)][0] < oldest:
                        continue
                    rewards = [np.sign(x.reward) if clip else x.reward for x in used]
                    total = sum(discount**i * reward for i, reward in enumerate(rewards))
                    bootstrap = 0.0 if used[-1].terminated else discount**stop
                    found[turn.row, lane] = (
                        self.stack(frames, t), turn.action, np.float32(total),
                        np.float32(bootstrap), self.stack(frames, t + stop),
                    )  # fmt: skip
        return found

    def stack(self, frames: list[tuple[int, np.ndarray]], t: int) -> np.ndarray:
        """The observation at position t of an episode."""
        seen = [frame for _, frame in frames[max(0, t - self.spec.stack + 1) : t + 1]]
        blank = np.zeros_like(seen[0])
        stacked = np.array([blank] * (self.spec.stack - len(seen)) + seen)
        return stacked if self.spec.stack > 1 or stacked.ndim > 2 else stacked[0]


def draw_all(replay: FrameReplay, clip: bool, draws: int) -> dict[tuple[int, int], tuple[Any, ...]]:
    """Everything that turns up in that many draws."""
    batch = TransitionSampler(replay).sample(np.random.default_rng(5), draws, 0.9, clip)
    keys = zip(batch.row.tolist(), batch.lane.tolist(), strict=True)
    values = zip(
        batch.observation, batch.action, batch.n_step_return, batch.bootstrap_discount,
        batch.next_observation, strict=True,
    )  # fmt: skip
    return dict(zip(keys, values, strict=True))


def assert_agrees(replay: FrameReplay, model: Model, clip: bool = False) -> None:
    """Exactly the model's transitions can be drawn, and each says what the model says."""
    expected = model.transitions(0.9, clip)
    sampler = TransitionSampler(replay)
    assert sampler.can_sample(len(expected))
    if len(expected) < 20:
        assert not sampler.can_sample(len(expected) + 1)
    if not expected:
        with pytest.raises(RuntimeError):
            sampler.sample(np.random.default_rng(0), 1, 0.9, clip)
        return
    # 25 draws each: the chance to miss one of 100 is below 1e-8.
    drawn = draw_all(replay, clip, 25 * len(expected))
    assert drawn.keys() == expected.keys()
    for key, (observation, action, total, bootstrap, following) in expected.items():
        got = drawn[key]
        np.testing.assert_array_equal(got[0], observation)
        assert got[1] == action
        np.testing.assert_allclose(got[2:4], (total, bootstrap), rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(got[4], following)


def assert_same(a: Transitions, b: Transitions) -> None:
    for name, value in vars(a).items():
        np.testing.assert_array_equal(value, getattr(b, name), strict=True)


def draw(replay: FrameReplay) -> Transitions:
    return TransitionSampler(replay).sample(np.random.default_rng(3), 200, 0.9, False)


def filled(spec: ReplaySpec, folder: Path, ticks: int, seed: int = 0) -> tuple[FrameReplay, Model]:
    replay, model = FrameReplay(spec, folder), Model(spec, seed)
    for _ in range(ticks):
        model.tick(replay)
    return replay, model


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
    for replay in replays:
        replay.close()


def test_holes_of_busy_lanes_survive_a_checkpoint(tmp_path: Path) -> None:
    replay, model = FrameReplay(SPEC, tmp_path), Model(SPEC, 4, busy=0.6)
    for _ in range(90):
        model.tick(replay)
        state, replay = replay.checkpoint(), FrameReplay(SPEC, tmp_path)
        replay.restore(state)
    assert_agrees(replay, model)


def test_observations_are_channels_last_in_memory(tmp_path: Path) -> None:
    replay, _ = filled(SPEC, tmp_path, 40)
    batch = draw(replay)
    assert batch.observation.shape == batch.next_observation.shape == (200, 4, 2, 3)
    assert np.moveaxis(batch.observation, 1, -1).flags.c_contiguous
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


# ------------------------------------------------------------------ space


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


ATARI = ReplaySpec(1_000_000, 1, (84, 84), "uint8", 4, 1, "ram", 128_000)


def test_plans_of_a_million_frames() -> None:
    assert plan_replay(ATARI).memory_bytes <= 7.1e9
    assert plan_replay(replace(ATARI, lanes=8)).memory_bytes <= 7.1e9
    mapped = plan_replay(replace(ATARI, storage="mmap"))
    assert mapped.memory_bytes < 20e6 and 7.9e9 < mapped.disk_bytes <= 8.0e9
    packed = plan_replay(replace(ATARI, storage="packed"))
    assert packed.memory_bytes <= 2e9 and packed.disk_bytes <= 2e9
    text = plan_replay(ATARI).text
    assert "ram, 1,000,000 transitions, 7.07 GB of memory, 7.96 GB of disk" in text
    assert plan_replay(replace(ATARI, durable=False)).disk_bytes == 0
    assert plan_replay(replace(ATARI, durable=False, storage="mmap")).disk_bytes > 7.9e9


def test_what_does_not_fit_is_refused_with_advice(tmp_path: Path) -> None:
    plan = plan_replay(ATARI)
    check_fits(plan, tmp_path / "new", available_memory=8 << 30, free_disk=8 << 30)
    with pytest.raises(UserError) as caught:
        check_fits(plan, tmp_path, available_memory=4 << 30, free_disk=8 << 30)
    text = str(caught.value)
    assert "\n" not in text and "needs 7.07 GB of memory, 3.76 GB can be used" in text
    assert text.endswith("try --replay-capacity 530000 or --replay mmap or --replay packed")
    check_fits(plan_replay(replace(ATARI, capacity=530_000)), tmp_path, 4 << 30, 8 << 30)
    with pytest.raises(
        UserError, match=r"disk space.*try --replay-capacity \d+ or --replay packed"
    ):
        check_fits(plan, tmp_path, available_memory=16 << 30, free_disk=2 << 30)
    with pytest.raises(UserError, match="free some memory"):
        check_fits(plan, tmp_path, available_memory=1 << 10, free_disk=1 << 40)
    with pytest.raises(UserError, match="at least 16"):
        plan_replay(replace(ATARI, capacity=10, lanes=8))
    with pytest.raises(UserError, match="ram, mmap, packed"):
        plan_replay(replace(ATARI, storage="disk"))


@pytest.mark.parametrize("version", [1, 2])
def test_memory_limits_of_control_groups_count(tmp_path: Path, version: int) -> None:
    root = tmp_path / "memory" if version == 1 else tmp_path
    inner = root / "outer" / "inner"
    inner.mkdir(parents=True)
    limit, usage, cache = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        if version == 1
        else ("memory.max", "memory.current", "inactive_file")
    )
    for group, size, used, cached in (
        (inner, str(1 << 62), 5, 0),
        (root / "outer", "9000", 4000, 7),
    ):
        (group / limit).write_text(f"{size}\n")
        (group / usage).write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 1\n{cache} {cached}\n")
    membership = tmp_path / "cgroup"
    membership.write_text(
        "2:cpu:/\n1:memory:/outer/inner\n" if version == 1 else "0::/outer/inner\n"
    )
    assert read_available_memory(membership, tmp_path) == 5007
    (root / "outer" / limit).write_text("max\n")
    assert read_available_memory(membership, tmp_path) > 1 << 20
    assert read_available_memory(tmp_path / "absent", tmp_path) > 1 << 20
