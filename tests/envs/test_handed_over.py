"""What an environment hands over is checked; one line says which lane, which step, what it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from agents.baselines.config import SB3DQNConfig
from agents.dqn.config import DQNConfig
from core.config import RunConfig, check
from core.errors import UserError
from envs.gymnasium.lanes import GymnasiumLanes
from envs.gymnasium.seeds import lane_seeds

VECTOR = spaces.Box(-np.inf, np.inf, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (4, 3), np.uint8)
PARTS = spaces.Dict({"place": spaces.Tuple([spaces.Discrete(3)]), "view": IMAGE})
BLANK = np.zeros((4, 3), np.uint8)
NAN = float("nan")
Answer = Callable[[int], Any]
"""From the episode's step to what is handed over."""


class Scripted(gymnasium.Env[Any, Any]):
    """Hands over what the test says, from a constructor that knows of no render_mode."""

    action_space = spaces.Discrete(2)

    def __init__(self, space: Any, shown: Answer, reward: Answer, ending: Any) -> None:
        self.observation_space = space
        self.shown, self.reward, self.ending = shown, reward, ending

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.shown(0), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return (self.shown(self.time), self.reward(self.time), *self.ending)


class OldReset(Scripted):
    def reset(self) -> Any:  # type: ignore[override]
        return self.shown(0)


class BareReset(Scripted):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.shown(0)


class Dice(Scripted):
    """Shows what the process's own random numbers say."""

    def __init__(self) -> None:
        self.made = random.random()
        super().__init__(
            VECTOR, lambda time: np.array([random.random(), np.random.random()], np.float32),
            lambda time: 0.0, (False, False, {}),
        )  # fmt: skip


Register = Callable[..., str]


@pytest.fixture
def register() -> Iterator[Register]:
    """Registers a scripted environment and returns its id."""

    def add(
        space: Any = VECTOR,
        shown: Answer = lambda time: np.zeros(2, np.float32),
        reward: Answer = lambda time: 0.0,
        ending: Any = (False, False, {}),
        kind: Any = Scripted,
        limit: int | None = None,
    ) -> str:
        gymnasium.register(
            "tests/Scripted-v0",
            entry_point=kind,
            kwargs={"space": space, "shown": shown, "reward": reward, "ending": ending},
            max_episode_steps=limit,
        )
        return "tests/Scripted-v0"

    yield add
    gymnasium.registry.pop("tests/Scripted-v0", None)


def play(env_id: str, ticks: int = 3) -> GymnasiumLanes:
    lanes = GymnasiumLanes(env_id, 2)
    lanes.reset(0)
    for _ in range(ticks):
        lanes.send(np.zeros(2, dtype=np.int64))
        lanes.receive()
    return lanes


def after(time: int, good: Any, bad: Any) -> Answer:
    return lambda now: good if now < time else bad


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ({"reward": after(2, 0.0, np.nan)}, r"lane 0, step 2: the reward is nan"),
        ({"reward": after(1, 0.0, -np.inf)}, r"lane 0, step 1: the reward is -inf"),
        ({"reward": after(1, 0.0, [1, 2])}, r"step 1: the reward is \[1, 2\] and not one number"),
        ({"reward": after(1, 0.0, None)}, r"step 1: the reward is None and not one number"),
        ({"shown": after(0, 0, np.array([0, np.nan]))}, r"lane 0, step 0: .* \[ ?0\. nan\]"),
        ({"shown": after(3, np.zeros(2), np.array([0, np.inf]))}, r"step 3: .* \[ ?0\. inf\]"),
        ({"shown": after(1, np.zeros(2), np.array([0, 1e300]))}, r"step 1: .* inf\]"),
        ({"shown": after(2, np.zeros(2), np.zeros(3))}, r"step 2: .* shape \(3,\), .* \(2,\)"),
        ({"shown": after(1, np.zeros(2), ["a", "b"])}, "step 1: .* holds no numbers"),
        ({"shown": after(0, 0, np.array([1_700_000_001, 0]))}, "step 0: .* last digits"),
        ({"space": IMAGE, "shown": after(0, 0, np.full((4, 3), 0.5))},
         "step 0: .* float64 from 0.5 to 0.5.* uint8"),
        ({"space": IMAGE, "shown": after(2, np.zeros((4, 3), np.uint8), np.full((4, 3), 300))},
         "step 2: the image holds values from 300 to 300"),
        ({"space": IMAGE, "shown": after(0, 0, np.zeros((3, 4), np.uint8))}, r"shape \(3, 4\)"),
        ({"space": spaces.Discrete(4, start=3), "shown": after(1, 3, 2)},
         "step 1: the observation 2 is no state from 3 to 6"),
        ({"space": spaces.Discrete(4), "shown": after(1, 3, 0.5)}, "0.5 is not the number"),
        ({"space": PARTS, "shown": after(0, 0, {"view": BLANK})},
         r"step 0: there is no observation\['place'\]\[0\]"),
        ({"space": PARTS, "shown": after(1, {"place": (2,), "view": BLANK}, {"place": (3,)})},
         r"step 1: observation\['place'\]\[0\]: \[3\] is no choice"),
        ({"space": PARTS, "shown": after(0, 0, {"place": (0.5,)})}, "instead of 1 whole numbers"),
        ({"space": PARTS, "shown": after(0, 0, {"place": (2,), "view": np.ones((4, 3))})},
         r"step 0: observation\['view'\]: .* float64 from 1 to 1, its space says .* uint8"),
        ({"space": spaces.Box(-9, 9, (2, 2)), "shown": after(1, np.eye(2), np.eye(2) * NAN)},
         r"step 1: the observation is \[nan nan nan nan\]"),
        ({"ending": (False, {})}, "step 1: step.. returned 4 values; .* truncated"),
        ({"ending": (False, {}), "limit": 9}, "step 1: step.. returned 4 values; .* truncated"),
        ({"ending": ()}, "step 1: step.. returned 2 values"),
        ({"ending": (False, False, {}), "reward": lambda time: 1 / 0},
         "tests/Scripted-v0, lane 0, step 1: step.. raised ZeroDivisionError: division by zero"),
        ({"kind": OldReset}, "step 0: reset.. raised TypeError: .* Gymnasium calls reset.seed"),
        ({"kind": BareReset}, r"step 0: reset.. returned \[0\. 0\.\] instead of .obs"),
    ],
)  # fmt: skip
def test_one_line_says_where_and_what(
    register: Register, script: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as failure:
        play(register(**script))
    assert "tests/Scripted-v0, lane" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_the_lane_named_is_the_one_that_failed(register: Register) -> None:
    rewards = iter([0.0, 0.0, 0.0, np.nan])
    with pytest.raises(UserError, match="lane 1, step 2: the reward is nan"):
        play(register(reward=lambda time: next(rewards)))


@pytest.mark.parametrize("reward", [2, True, np.float32(2), np.array([2.0]), np.array([[2]]), [2]])
def test_rewards_of_one_number_are_taken(register: Register, reward: Any) -> None:
    lanes = GymnasiumLanes(register(reward=lambda time: reward), 1)
    lanes.reset(0)
    lanes.send(np.array([0]))
    assert lanes.receive().reward.tolist() == [1.0 if reward is True else 2.0]


def test_an_array_that_the_environment_uses_again_is_copied(register: Register) -> None:
    shared = np.zeros(2, np.float32)

    def shown(time: int) -> np.ndarray:
        shared[0] += 1
        return shared

    lanes = play(register(shown=shown))
    lanes.send(np.zeros(2, dtype=np.int64))
    observation = lanes.receive().observation
    assert observation[0, 0] + 1 == observation[1, 0]


def test_whole_numbers_are_taken_as_images(register: Register) -> None:
    shown = np.arange(12).reshape(4, 3)
    step = GymnasiumLanes(register(space=IMAGE, shown=lambda time: shown.tolist()), 1).reset(0)
    assert step.observation.dtype == np.uint8
    assert np.array_equal(step.observation[0], shown)


def test_a_constructor_that_needs_arguments_is_named(register: Register) -> None:
    gymnasium.register("tests/Scripted-v0", entry_point=Scripted)
    with pytest.raises(UserError, match=r"tests/Scripted-v0.*missing 4 .*'space'.*--env-kwargs"):
        GymnasiumLanes("tests/Scripted-v0", 1)


def test_a_constructor_that_fails_is_named() -> None:
    gymnasium.register("tests/Broken-v0", entry_point=lambda: int("x"))
    with pytest.raises(UserError, match=r"tests/Broken-v0.*ValueError: invalid literal"):
        GymnasiumLanes("tests/Broken-v0", 1)
    del gymnasium.registry["tests/Broken-v0"]


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**40])
def test_seeds_fit_into_31_bits(seed: int) -> None:
    seeds = lane_seeds(seed, 1000)
    assert seeds.min() >= 0
    assert seeds.max() < 2**31
    assert len(set(seeds.tolist())) == 1000
    assert lane_seeds(seed, 5).tolist() == seeds[:5].tolist()


def test_random_numbers_of_the_process_are_seeded_too() -> None:
    gymnasium.register("tests/Dice-v0", entry_point=Dice)

    def shown(seed: int) -> list[float]:
        lanes = GymnasiumLanes("tests/Dice-v0", 2)
        made.append([env.unwrapped.made for env in lanes._envs])
        observations = [lanes.reset(seed).observation]
        lanes.send(np.zeros(2, dtype=np.int64))
        observations.append(lanes.receive().observation)
        lanes.close()
        return [float(number) for number in np.ravel(observations)]

    made: list[list[float]] = []
    random.seed(5)
    np.random.seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    first = shown(seed=1)
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index, union-attr]
    random.seed(6)
    assert shown(seed=1) == first
    assert shown(seed=2) != first
    assert len(set(first)) == len(first)
    assert made[0] == made[1] == made[2], "what a constructor draws is the same each time, too"
    del gymnasium.registry["tests/Dice-v0"]


def test_a_seed_that_a_library_cannot_take_is_refused_in_a_line() -> None:
    with pytest.raises(UserError, match=r"--seed must be under 2\*\*32"):
        check(SB3DQNConfig(run=RunConfig(seed=2**32)))
    with pytest.raises(UserError, match=r"--seed must be at least 0 and under 2\*\*63"):
        check(DQNConfig(run=RunConfig(seed=2**63)))
