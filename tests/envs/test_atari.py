"""The native Atari lanes against a slow emulator in Python, trap by trap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import ale_py.vector_env
import numpy as np
import pytest

from core.errors import UserError
from core.lanes import FrameStack, Step
from envs.atari.lanes import AtariLanes, rom_name
from envs.atari.protocol import PROTOCOLS, AtariProtocol
from envs.gymnasium.seeds import lane_seeds
from tests.envs.slow_atari import SlowAtari, area_resize

STICKY = PROTOCOLS["dopamine"]
PLAIN = replace(STICKY, sticky_probability=0.0)
BREAKOUT = "ALE/Breakout-v5"


@contextmanager
def opened(
    env_id: str, lanes: int, protocol: AtariProtocol, **options: Any
) -> Iterator[AtariLanes]:
    made = AtariLanes(env_id, lanes, protocol, **{"threads": 1, **options})
    try:
        yield made
    finally:
        made.close()


def random_actions(lanes: AtariLanes, ticks: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, lanes.num_actions, (ticks, lanes.num_lanes))


def play(lanes: AtariLanes, actions: np.ndarray, seed: int = 0) -> list[Step]:
    """The reset's step, and one for every row of actions."""
    steps = [lanes.reset(seed)]
    for row in actions:
        lanes.send(row)
        steps.append(lanes.receive())
    return steps


def stacked(steps: list[Step], name: str) -> np.ndarray:
    """One field of every step, [T, L, ...]."""
    return np.stack([getattr(step, name) for step in steps])


@pytest.mark.parametrize(
    ("env_id", "sticky", "ticks", "pixels"),
    [
        (BREAKOUT, 0.0, 250, 84),
        (BREAKOUT, 0.25, 250, 42),
        ("ALE/SpaceInvaders-v5", 0.25, 150, 84),
    ],
)
def test_equal_to_a_slow_emulator(env_id: str, sticky: float, ticks: int, pixels: int) -> None:
    protocol = replace(STICKY, sticky_probability=sticky)
    with opened(env_id, 2, protocol, pixels=pixels) as lanes:
        assert lanes.observation_spec.shape == (pixels, pixels)
        actions = random_actions(lanes, ticks)
        steps = play(lanes, actions, seed=3)
    for lane, seed in enumerate(lane_seeds(3, 2)):
        slow = SlowAtari(rom_name(env_id), sticky, int(seed), pixels)
        assert np.abs(steps[0].observation[lane] - slow.reset()).max() <= 1
        lives = slow.ale.lives()
        for tick, step in enumerate(steps[1:]):
            expected = slow.step(int(actions[tick, lane]))
            lost = expected.valid and not expected.over and expected.lives < lives
            lives = expected.lives
            assert step.reward[lane] == expected.reward
            assert step.terminated[lane] == expected.over
            assert step.life_lost[lane] == lost
            assert step.valid[lane] == expected.valid
            assert not step.truncated[lane]
            if not expected.over:
                # The emulator pools the last frame of an episode with older ones.
                assert np.abs(step.observation[lane] - expected.frame).max() <= 1
            else:
                assert np.abs(step.observation[lane] - expected.frame).mean() < 1
    assert stacked(steps, "reward").max() > (0 if env_id == BREAKOUT else 1)  # not clipped
    assert stacked(steps, "terminated").any() == (env_id == BREAKOUT)


def test_a_lost_life_is_marked_and_the_game_goes_on(breakout: list[Step]) -> None:
    for lane in range(2):
        lives = 5
        for step in breakout:
            if step.valid[lane] and (step.life_lost[lane] or step.terminated[lane]):
                lives -= 1
                assert bool(step.terminated[lane]) == (lives == 0)
            elif not step.valid[lane]:
                lives = 5
                assert not step.life_lost[lane]
        assert stacked(breakout, "life_lost")[:, lane].sum() >= 4
    done, valid = stacked(breakout, "done"), stacked(breakout, "valid")
    assert done.any(axis=0).all()
    assert np.array_equal(valid[1:], ~done[:-1])  # invalid exactly on the tick after an end
    assert not stacked(breakout, "reward")[~valid].any()


def test_the_tick_after_an_end_ignores_its_action() -> None:
    with opened(BREAKOUT, 1, replace(PLAIN, training_frame_cap=40)) as lanes:
        actions = random_actions(lanes, 30)
        first = play(lanes, actions)
        end = int(np.flatnonzero(~stacked(first, "valid")[1:])[0])
        changed = actions.copy()
        changed[end] = (changed[end] + 1) % 4
        second = play(lanes, changed)
        changed[end + 1] = 2 + (changed[end + 1] + 1) % 2  # but the next action counts
        changed[end + 2 : end + 6] = changed[end + 1]
        third = play(lanes, changed)
    assert np.array_equal(stacked(first, "observation"), stacked(second, "observation"))
    assert not np.array_equal(stacked(first, "observation"), stacked(third, "observation"))
    # Without sticky actions and no-ops every episode starts on the same frame.
    assert np.array_equal(first[end + 1].observation, first[0].observation)
    assert not np.array_equal(first[end].observation, first[0].observation)


@pytest.mark.parametrize(("evaluation", "ticks"), [(False, 10), (True, 6)])
def test_the_frame_cap_truncates(evaluation: bool, ticks: int) -> None:
    capped = replace(STICKY, training_frame_cap=40, evaluation_frame_cap=24, noop_max=30)
    with opened(BREAKOUT, 2, capped, evaluation=evaluation) as lanes:
        steps = play(lanes, random_actions(lanes, 2 * ticks + 2))
    truncated, terminated = stacked(steps, "truncated"), stacked(steps, "terminated")
    expected = [tick in (ticks, 2 * ticks + 1) for tick in range(len(steps))]
    assert truncated.tolist() == [[e, e] for e in expected]
    assert not terminated.any()
    assert not steps[ticks + 1].valid.any()


def test_sticky_actions_follow_the_protocol() -> None:
    """Under nature2015 an action always works; with 0.25 one in four frames repeats the last."""
    calm = {name: replace(PROTOCOLS[name], noop_max=0) for name in PROTOCOLS}
    frames = {}
    for name in ("dopamine", "nature2015"):
        with opened(BREAKOUT, 1, calm[name]) as lanes:
            actions = random_actions(lanes, 40)
            frames[name] = stacked(play(lanes, actions, seed=1), "observation")
    assert not np.array_equal(frames["dopamine"], frames["nature2015"])


class Recorded(ale_py.vector_env.AtariVectorEnv):
    """Keeps what it was made with and what its resets reported."""

    made: ClassVar[list[Recorded]] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.options = options
        self.made.append(self)

    def noops(self, resets: int) -> np.ndarray:
        """Emulator frames before the first observation, of many resets."""
        self.reset(seed=np.arange(self.num_envs))
        infos = [self.reset()[1]["episode_frame_number"].copy() for _ in range(resets)]
        return np.concatenate(infos)


@pytest.mark.parametrize(
    ("noop_max", "fire"),
    [(0, False), (30, False), (3, False), (3, True)],
)
def test_noop_starts(noop_max: int, fire: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ale_py.vector_env, "AtariVectorEnv", Recorded)
    with opened(BREAKOUT, 2, replace(PLAIN, noop_max=noop_max, fire_reset=fire)):
        frames = Recorded.made[-1].noops(45 if noop_max == 30 else 12)
    assert frames.max() <= noop_max
    assert frames.min() == 0
    assert len(np.unique(frames)) >= 0.8 * (noop_max + 1)


@pytest.mark.parametrize(
    ("env_id", "at_reset"),
    [(BREAKOUT, 2), ("ALE/Freeway-v5", 0)],  # Freeway has no FIRE
)
def test_a_life_starts_with_steps_that_ignore_the_agent(env_id: str, at_reset: int) -> None:
    with opened(env_id, 2, replace(PLAIN, fire_reset=True, training_frame_cap=80)) as lanes:
        steps = play(lanes, random_actions(lanes, 60))
    valid, done = stacked(steps, "valid"), stacked(steps, "done")
    ignored = [1 + at_reset] * 2  # the step that resets, and those that start the life
    for lane in range(2):
        tick = 0
        for end in np.flatnonzero(done[:, lane])[:2]:
            start = tick + ignored[lane]
            assert not valid[tick:start, lane].any() and valid[start, lane]
            tick = end + 1
        assert tick > 0


def test_fire_reset_starts_the_ball() -> None:
    with opened(BREAKOUT, 1, replace(PLAIN, fire_reset=True)) as lanes:
        fired = play(lanes, np.zeros((30, 1), dtype=np.int64))
    with opened(BREAKOUT, 1, PLAIN) as lanes:
        waiting = play(lanes, np.zeros((30, 1), dtype=np.int64))
    below_the_wall = slice(45, 74)
    still = stacked(waiting, "observation")[:, 0, below_the_wall]
    moving = stacked(fired, "observation")[:, 0, below_the_wall]
    assert np.ptp(still[1:], axis=0).max() == 0
    assert np.ptp(moving[1:], axis=0).max() > 0


@pytest.mark.parametrize(("threads", "given"), [(0, 2), (1, 1), (9, 2)])
def test_threads_are_always_given(
    threads: int, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ale_py.vector_env, "AtariVectorEnv", Recorded)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    with opened("ALE/Pong-v5", 2, STICKY, threads=threads):
        options = Recorded.made[-1].options
    assert options["num_threads"] == given
    assert options["reward_clipping"] is False
    assert options["repeat_action_probability"] == 0.25


def test_bad_actions_are_refused_before_they_hang() -> None:
    with opened(BREAKOUT, 2, PLAIN) as lanes:
        actions = random_actions(lanes, 10)
        expected = play(lanes, actions)
        observed = [lanes.reset(0)]
        for row in actions:
            for bad in ([0, 4], [-1, 0], [0], [0.0, 1.0]):
                with pytest.raises(ValueError, match="actions"):
                    lanes.send(np.array(bad))
            lanes.send(row)
            observed.append(lanes.receive())
    assert np.array_equal(stacked(expected, "observation"), stacked(observed, "observation"))


def test_lanes_depend_on_seed_and_number_only() -> None:
    """Not on threads nor on how many lanes there are; np.int64, 0 and large seeds work."""
    with opened(BREAKOUT, 3, STICKY, threads=2) as lanes:
        actions = random_actions(lanes, 40)
        actions[:] = actions[:, :1]
        many = stacked(play(lanes, actions, np.int64(0)), "observation")  # type: ignore[arg-type]
        other = stacked(play(lanes, actions, 2**32 - 1), "observation")
    with opened(BREAKOUT, 1, STICKY) as lanes:
        one = stacked(play(lanes, actions[:, :1]), "observation")
        again = stacked(play(lanes, actions[:, :1]), "observation")
    assert np.array_equal(one, again)
    assert np.array_equal(one[:, 0], many[:, 0])
    assert not np.array_equal(many[:, 0], many[:, 1])
    assert not np.array_equal(many[:, 1], many[:, 2])
    assert not np.array_equal(many, other)
    seeds = np.concatenate([lane_seeds(seed, 8) for seed in range(100)])
    assert len(np.unique(seeds)) == len(seeds)  # neighbouring runs share no lane
    with pytest.raises(ValueError, match="non-negative"):
        lane_seeds(-1, 1)


@pytest.fixture(scope="module")
def breakout() -> list[Step]:
    """Two lanes of random play over episode ends; nothing overwritten meanwhile."""
    with opened(BREAKOUT, 2, PLAIN) as lanes:
        steps, copies = [lanes.reset(0)], []
        for row in random_actions(lanes, 250):
            copies.append(steps[-1].observation.copy())
            lanes.send(row)
            steps.append(lanes.receive())
    for step, copy in zip(steps, copies, strict=False):
        assert np.array_equal(step.observation, copy)
    return steps


def test_frame_stack_equals_the_emulators(breakout: list[Step]) -> None:
    env = ale_py.vector_env.AtariVectorEnv(
        "breakout",
        2,
        num_threads=1,
        stack_num=4,
        noop_max=1,
        use_fire_reset=False,
        reward_clipping=False,
    )
    with opened(BREAKOUT, 1, PLAIN) as lanes:
        spec = lanes.observation_spec
    stack = FrameStack(spec, 2)
    observation, _ = env.reset(seed=lane_seeds(0, 2))
    assert np.array_equal(stack.push(breakout[0]), observation)
    actions = np.random.default_rng(0).integers(0, 4, (250, 2))
    for step, row in zip(breakout[1:], actions, strict=True):
        observation = env.step(row)[0]
        assert np.array_equal(stack.push(step), observation)
    env.close()


def test_colour_twin_stays_in_lock_step() -> None:
    protocol = replace(STICKY, noop_max=30)
    with opened(BREAKOUT, 2, protocol) as lanes:
        actions = random_actions(lanes, 200)
        grey = play(lanes, actions, seed=7)
    with opened(BREAKOUT, 2, protocol, colour=True) as lanes:
        assert lanes.observation_spec.shape == (210, 160, 3)
        colour = play(lanes, actions, seed=7)
    for name in ("reward", "terminated", "truncated", "life_lost", "valid"):
        assert np.array_equal(stacked(grey, name), stacked(colour, name))
    assert stacked(grey, "terminated").any()
    for small, large in list(zip(grey, colour, strict=True))[::10]:
        luminance = large.observation[0] @ np.array([0.299, 0.587, 0.114])
        assert np.abs(small.observation[0] - area_resize(luminance)).max() <= 2


def test_unknown_games_are_refused() -> None:
    with pytest.raises(UserError, match="ALE/Breakout-v5"):
        AtariLanes("ALE/Breakot-v5", 1, STICKY)
    assert rom_name("ALE/MsPacman-v5") == "ms_pacman"
