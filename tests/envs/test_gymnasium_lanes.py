"""Gymnasium lanes against Gymnasium's own vector environment, and what they refuse."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from core.errors import UserError
from envs.gymnasium.lanes import GymnasiumLanes
from envs.gymnasium.seeds import lane_seeds


class TestWorld(gymnasium.Env[Any, Any]):
    """Shows random observations of any space for three steps; reward is the action."""

    __test__ = False

    def __init__(self, space: Any, actions: Any = None, render_mode: str | None = None) -> None:
        self.observation_space = space
        self.action_space = actions or spaces.Discrete(3)
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.time = 0
        return self._show(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Any]:
        self.time += 1
        assert self.action_space.contains(action)
        return self._show(), float(action), self.time == 3, False, {}

    def _show(self) -> Any:
        self.shown = self.observation_space.sample()
        return self.shown

    def render(self) -> Any:
        return self.shown if np.ndim(self.shown) == 3 else None


def make_test_world(**kwargs: Any) -> TestWorld:
    return TestWorld(**kwargs)


IN_PARTS = {
    "Matrix": spaces.Box(-1, 1, (4, 4), np.float32),
    "Point": spaces.Box(-1, 1, (), np.float64),
    "Choices": spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[0, 5], [1, -1]]),
    "Switches": spaces.MultiBinary((2, 3)),
    "Nested": spaces.Dict(
        {
            "view": spaces.Box(0, 255, (3, 3, 3), np.uint8),
            "arm": spaces.Tuple([spaces.Discrete(4, start=2), spaces.Box(-1, 1, (2, 2))]),
            "bits": spaces.MultiBinary(3),
        }
    ),
}


@pytest.fixture(scope="module", autouse=True)
def worlds() -> Iterator[None]:
    grey = spaces.Box(0, 255, (6, 5), np.uint8)
    colours_first = spaces.Box(0, 255, (3, 84, 84), np.uint8)
    registered: dict[str, dict[str, Any]] = {
        "Image": {"space": spaces.Box(0, 255, (8, 6, 3), np.uint8)},
        "Grey": {"space": grey},
        "Number": {"space": spaces.Discrete(7)},
        "Double": {"space": spaces.Box(-1, 1, (4,), np.float64)},
        "Shifted": {"space": grey, "actions": spaces.Discrete(3, start=5)},
        "Words": {"space": spaces.Text(5)},
        "ColoursFirst": {"space": colours_first},
        "Colours": {"space": spaces.Dict({"a": grey, "b": colours_first})},
        **{name: {"space": space} for name, space in IN_PARTS.items()},
        "Continuous": {"space": grey, "actions": spaces.Box(-1, 1, (2,), np.float32)},
    }
    for name, kwargs in registered.items():
        gymnasium.register(f"tests/{name}-v0", entry_point=make_test_world, kwargs=kwargs)
    yield
    for name in registered:
        del gymnasium.registry[f"tests/{name}-v0"]


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"])
def test_the_environments_we_use_are_sound(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(gymnasium.make(env_id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize(("env_id", "ticks"), [("CartPole-v1", 2000), ("MountainCar-v0", 450)])
def test_equal_to_gymnasiums_vector_environment(env_id: str, ticks: int) -> None:
    """CartPole falls over; MountainCar is cut off after 200 steps."""
    lanes = GymnasiumLanes(env_id, 3)
    seeds: list[int | None] = [int(s) for s in lane_seeds(11, 3)]
    vector = SyncVectorEnv(
        [lambda: gymnasium.make(env_id)] * 3, autoreset_mode=AutoresetMode.NEXT_STEP
    )
    step, expected = lanes.reset(11), vector.reset(seed=seeds)[0]
    assert np.array_equal(step.observation, expected)
    rng = np.random.default_rng(0)
    ended = np.zeros((2, 3), dtype=bool)
    for _ in range(ticks):
        actions = rng.integers(0, lanes.num_actions, 3)
        done = step.done
        lanes.send(actions)
        step = lanes.receive()
        expected, reward, terminated, truncated, _ = vector.step(actions)
        assert np.array_equal(step.observation, expected)
        assert np.array_equal(step.reward, reward)
        assert np.array_equal(step.terminated, terminated)
        assert np.array_equal(step.truncated, truncated)
        assert np.array_equal(step.valid, ~done)
        ended |= [terminated, truncated]
    assert ended.all(axis=1).tolist() == [env_id == "CartPole-v1", env_id == "MountainCar-v0"]


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "stack"),
    [
        ("Image", (8, 6, 3), "uint8", 4),
        ("Grey", (6, 5), "uint8", 4),
        ("Number", (1,), "int64", 1),
        ("Double", (4,), "float32", 1),
    ],
)
def test_observations(name: str, shape: tuple[int, ...], dtype: str, stack: int) -> None:
    lanes = GymnasiumLanes(f"tests/{name}-v0", 2)
    spec = lanes.observation_spec
    assert (spec.shape, spec.dtype, spec.stack) == (shape, dtype, stack)
    twins = [gymnasium.make(f"tests/{name}-v0") for _ in range(2)]
    seeds = lane_seeds(4, 2)
    shown = [twin.reset(seed=int(s))[0] for twin, s in zip(twins, seeds, strict=True)]
    observed = lanes.reset(4).observation
    for tick in range(9):
        assert observed.dtype == dtype
        assert observed.shape == (2, *shape)
        assert np.array_equal(observed, np.array(shown, dtype=dtype).reshape(2, *shape))
        lanes.send(np.array([0, 2]))
        step = lanes.receive()
        shown = [
            twin.reset()[0] if tick % 4 == 3 else twin.step(a)[0]
            for twin, a in zip(twins, (0, 2), strict=True)
        ]
        assert step.reward.tolist() == ([0, 0] if tick % 4 == 3 else [0, 2])
        observed = step.observation


@pytest.mark.parametrize("name", IN_PARTS)
def test_parts_are_one_vector_as_gymnasium_flattens_them(name: str) -> None:
    lanes = GymnasiumLanes(f"tests/{name}-v0", 1)
    twin = gymnasium.make(f"tests/{name}-v0")
    shown = [twin.reset(seed=int(lane_seeds(4, 1)[0]))[0], twin.step(0)[0]]
    first = lanes.reset(4)
    lanes.send(np.array([0]))
    for observed, given in zip((first, lanes.receive()), shown, strict=True):
        expected = spaces.flatten(twin.observation_space, given).astype(np.float32)
        assert lanes.observation_spec.shape == expected.shape
        assert observed.observation.dtype == np.float32
        assert np.array_equal(observed.observation[0], expected)


def test_legal_actions_are_those_that_info_names() -> None:
    lanes, twin = GymnasiumLanes("Taxi-v4", 2), gymnasium.make("Taxi-v4")
    assert lanes.observation_spec.masked
    step, info = lanes.reset(7), twin.reset(seed=int(lane_seeds(7, 2)[1]))[1]
    rng = np.random.default_rng(0)
    for tick in range(230):  # over the end of an episode, at 200 steps
        assert step.legal is not None and step.legal.dtype == bool
        assert step.legal[1].tolist() == info["action_mask"].astype(bool).tolist(), tick
        actions = np.array([0, rng.choice(np.flatnonzero(step.legal[1]))])
        info = twin.reset()[1] if step.done[1] else twin.step(int(actions[1]))[4]
        lanes.send(actions)
        step = lanes.receive()
    plain = GymnasiumLanes("CartPole-v1", 2)
    assert not plain.observation_spec.masked and plain.reset(0).legal is None


class Counting(gymnasium.Env[np.ndarray, int]):
    """Shows how often it was reset; names legal actions in steps only, if at all."""

    observation_space, action_space = spaces.Box(0, 99, (1,), np.float32), spaces.Discrete(2)

    def __init__(self, masked: bool = False) -> None:
        self.resets, self.masked = 0, masked

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.resets += 1
        return np.array([self.resets], np.float32), {}

    def step(self, action: int) -> Any:
        info = {"action_mask": np.array([1, 0])} if self.masked else {}
        return np.zeros(1, np.float32), 0.0, False, False, info


def test_the_question_for_masks_leaves_the_lanes_alone() -> None:
    gymnasium.register("tests/Counting-v0", Counting)
    lanes = GymnasiumLanes("tests/Counting-v0", 3)
    assert lanes.reset(0).observation.tolist() == [[1], [1], [1]]
    late = GymnasiumLanes("tests/Counting-v0", 2, arguments={"masked": True})
    late.reset(0)
    late.send(np.array([0, 0]))
    with pytest.raises(UserError, match="lane 0, step 1: info has an 'action_mask'"):
        late.receive()
    del gymnasium.registry["tests/Counting-v0"]


def test_actions_may_start_anywhere() -> None:
    lanes = GymnasiumLanes("tests/Shifted-v0", 2)
    lanes.reset(0)
    lanes.send(np.array([0, 2]))
    assert lanes.receive().reward.tolist() == [5, 7]
    with pytest.raises(ValueError, match="actions"):
        lanes.send(np.array([0, 5]))


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("CartPol-v1", "did you mean 'CartPole-v1'"),
        ("CartPole-v99", "did you mean 'CartPole-v"),
        ("nowhere/Thing-v0", "no environment 'nowhere/Thing-v0'"),
        ("no such id!", "no such id!"),
        ("Pendulum-v1", "discrete"),
        ("tests/Continuous-v0", "discrete"),
        ("tests/Words-v0", "observations Text"),
        ("tests/Colours-v0", "observations Dict"),
        ("tests/ColoursFirst-v0", "height, width, colours"),
    ],
)
def test_what_cannot_be_driven_is_refused(env_id: str, message: str) -> None:
    with warnings.catch_warnings(), pytest.raises(UserError, match=message):
        warnings.simplefilter("ignore")
        GymnasiumLanes(env_id, 1)


def test_pictures() -> None:
    for env_id, refused in (("tests/Image-v0", False), ("tests/Grey-v0", True)):
        lanes = GymnasiumLanes(env_id, 1, render=True)
        frame = lanes.reset(0).observation[0]
        if refused:
            with warnings.catch_warnings(), pytest.raises(UserError, match="draws no pictures"):
                warnings.simplefilter("ignore")
                lanes.render()
        else:
            assert np.array_equal(lanes.render(), frame)
