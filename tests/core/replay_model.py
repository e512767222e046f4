"""A slow model of the replay memory that keeps whole episodes as lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.replay.ring import FrameReplay, ReplaySpec
from core.replay.sampling import Transitions, TransitionSampler

STORAGES = ("ram", "mmap", "packed")
SPEC = ReplaySpec(
    capacity=60, lanes=2, frame_shape=(2, 3), frame_dtype="uint8", stack=4, n_step=2,
    storage="ram", headroom=24,
)  # fmt: skip


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
        np.testing.assert_array_equal(np.asarray(value), np.asarray(getattr(b, name)), strict=True)


def draw(replay: FrameReplay) -> Transitions:
    return TransitionSampler(replay).sample(np.random.default_rng(3), 200, 0.9, False)


def filled(spec: ReplaySpec, folder: Path, ticks: int, seed: int = 0) -> tuple[FrameReplay, Model]:
    replay, model = FrameReplay(spec, folder), Model(spec, seed)
    for _ in range(ticks):
        model.tick(replay)
    return replay, model
