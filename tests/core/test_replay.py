"""The replay memory against a slow model that keeps whole episodes as lists."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.replay import Batch, FrameReplay, ReplaySpec, check_fits, plan_replay
from core.replay_plan import read_available_memory

STORAGES = ("ram", "mmap", "packed")
SPEC = ReplaySpec(
    capacity=60, lanes=2, frame_shape=(2, 3), frame_dtype="uint8", stack=4, n_step=2,
    storage="ram", headroom=24,
)  # fmt: skip


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


@dataclass
class Episode:
    """Turns in order, and the frame on which a finished episode ended, with its row."""

    turns: list[Turn] = field(default_factory=list)
    final: tuple[int, np.ndarray] | None = None


class Model:
    """Feeds a memory from random episodes, and says what may be drawn from it."""

    def __init__(self, spec: ReplaySpec, seed: int) -> None:
        self.spec = spec
        self.rng = np.random.default_rng(seed)
        self.rows = 0
        self.oldest = 0
        self.lanes: list[list[Episode]] = [[Episode()] for _ in range(spec.lanes)]

    def frame(self, lane: int) -> np.ndarray:
        """A frame that no other row or lane has, as far as uint8 can tell them apart."""
        size = int(np.prod(self.spec.frame_shape))
        number = np.arange(size) + 1 + self.rows * 7 + lane * 101
        return (number % 251 + 1).astype(self.spec.frame_dtype).reshape(self.spec.frame_shape)

    def tick(self, replay: FrameReplay) -> None:
        """One tick of every lane."""
        columns = [self._tick_lane(lane) for lane in range(self.spec.lanes)]
        replay.append(*(np.array(column) for column in zip(*columns, strict=True)))
        self.rows += 1

    def _tick_lane(self, lane: int) -> tuple[Any, ...]:
        frame, action = self.frame(lane), int(self.rng.integers(18))
        episode = self.lanes[lane][-1]
        last = episode.turns[-1] if episode.turns else None
        reward = float(np.float32(self.rng.choice([-2.5, 0.0, 0.1, 7.0])))
        if last and (last.truncated or (last.terminated and not self.is_life_loss(last))):
            episode.final = (self.rows, frame)
            self.lanes[lane].append(Episode())
            return frame, action, 0.0, False, False, False, False
        chance = self.rng.random()
        ends, cut, life = chance < 0.1, 0.1 <= chance < 0.2, 0.2 <= chance < 0.3
        turn = Turn(self.rows, frame, action, reward, ends or life, cut)
        if life:
            turn.reward = reward = 0.25  # marks a life lost: the episode goes on
        episode.turns.append(turn)
        return frame, action, reward, ends or life, cut, True, len(episode.turns) == 1

    @staticmethod
    def is_life_loss(turn: Turn) -> bool:
        return turn.reward == 0.25

    def end_episodes(self, replay: FrameReplay) -> None:
        """The program stopped here, and the lanes start anew."""
        frames = [self.frame(lane) for lane in range(self.spec.lanes)]
        replay.end_episodes(np.array(frames))
        for episodes, frame in zip(self.lanes, frames, strict=True):
            episode = episodes[-1]
            if episode.turns:
                last = episode.turns[-1]
                last.truncated = last.truncated or not last.terminated
                episode.final = (self.rows, frame)
                episodes.append(Episode())
        self.rows += 1

    def transitions(self, discount: float, clip: bool) -> dict[tuple[int, int], tuple[Any, ...]]:
        """Everything that may be drawn: (row, lane) -> what a batch must say about it."""
        spec = self.spec
        found = {}
        window = max(self.oldest, self.rows - spec.capacity // spec.lanes)
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
                    if frames[max(0, t - spec.stack + 1)][0] < self.oldest:
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
    batch = replay.sample(np.random.default_rng(5), draws, 0.9, clip)
    keys = zip(batch.row.tolist(), batch.lane.tolist(), strict=True)
    values = zip(
        batch.observation, batch.action, batch.n_step_return, batch.bootstrap_discount,
        batch.next_observation, strict=True,
    )  # fmt: skip
    return dict(zip(keys, values, strict=True))


def assert_agrees(replay: FrameReplay, model: Model, clip: bool = False) -> None:
    """Exactly the model's transitions can be drawn, and each says what the model says."""
    expected = model.transitions(0.9, clip)
    assert replay.can_sample(len(expected))
    if len(expected) < 20:
        assert not replay.can_sample(len(expected) + 1)
    if not expected:
        with pytest.raises(RuntimeError):
            replay.sample(np.random.default_rng(0), 1, 0.9, clip)
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


def assert_same(a: Batch, b: Batch) -> None:
    for name, value in vars(a).items():
        np.testing.assert_array_equal(value, getattr(b, name), strict=True)


def draw(replay: FrameReplay) -> Batch:
    return replay.sample(np.random.default_rng(3), 200, 0.9, False)


def filled(spec: ReplaySpec, folder: Path, ticks: int, seed: int = 0) -> tuple[FrameReplay, Model]:
    replay, model = FrameReplay(spec, folder), Model(spec, seed)
    for _ in range(ticks):
        model.tick(replay)
    return replay, model


# ------------------------------------------------------------------ what is drawn


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
)
def test_draws_what_the_episodes_hold(
    tmp_path_factory: pytest.TempPathFactory, seed: int, ticks: int, stops: set[int], lanes: int,
    window: int, stack: int, n_step: int, form: tuple[tuple[int, ...], str], clip: bool,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("replay")
    spec = ReplaySpec(window * lanes + lanes // 2, lanes, *form, stack, n_step, "ram", 3)
    model = Model(spec, seed)
    replays = [FrameReplay(replace(spec, storage=name), folder / name) for name in STORAGES]
    for tick in range(ticks):
        before = model.rng.bit_generator.state, model.rows, model.lanes
        del before
        feed(model, replays, tick in stops and tick > 0)
    assert replays[0].size == min(model.rows, window) * lanes <= spec.capacity
    assert_agrees(replays[0], model, clip)
    if model.transitions(0.9, clip):
        batches = [draw(replay) for replay in replays]
        assert_same(batches[0], batches[1])
        assert_same(batches[0], batches[2])
    for replay in replays:
        replay.close()


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
