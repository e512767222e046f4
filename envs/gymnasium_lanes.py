"""Lanes over any Gymnasium environment with discrete actions.

Environments are stepped one after another in Python, so this is for light environments such as
classic control; Atari has native lanes of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.errors import UserError, did_you_mean
from core.lanes import ObservationSpec, Step, check_actions, first_step
from envs.names import ATARI_CLASS, atari_games

IMAGE_STACK = 4
NOT_FOR_AGENTS = (ATARI_CLASS, "gymnasium.envs.phys2d", "gymnasium.envs.tabular")
"""Where ids lead that are not suggested: raw frames of Atari games, and Gymnasium's on JAX."""


class GymnasiumLanes:
    """L copies of one Gymnasium environment. See ``core.lanes.Lanes`` for the contract."""

    restorable = False
    overlaps = False

    def __init__(self, env_id: str, num_lanes: int, *, render: bool = False) -> None:
        """Make the environments, with pictures if ``render``.

        Raises:
            UserError: unknown id, missing dependency, actions that are not discrete, or
                observations that are neither vectors nor uint8 images.
        """
        mode = "rgb_array" if render else None
        self._envs = [_make(env_id, mode) for _ in range(num_lanes)]
        self.num_lanes = num_lanes
        self.num_actions, self._first_action = _discrete_actions(env_id, self._envs[0])
        self.observation_spec = _observation_spec(env_id, self._envs[0])
        # Numbered states count from 0, whatever the environment's own start.
        self._first_state = int(getattr(self._envs[0].observation_space, "start", 0))
        self._done = np.zeros(num_lanes, dtype=bool)
        self._actions = np.zeros(num_lanes, dtype=np.int64)

    def reset(self, seed: int) -> Step:
        """Start every lane anew; lane i is seeded from (seed, i)."""
        seeds = np.random.SeedSequence(seed).generate_state(self.num_lanes)
        frames = [env.reset(seed=int(s))[0] for env, s in zip(self._envs, seeds, strict=True)]
        self._done[:] = False
        return first_step(self._frames(frames))

    def send(self, actions: np.ndarray) -> None:
        """Keep the actions, int64 [L], for ``receive``."""
        self._actions = check_actions(actions, self.num_lanes, self.num_actions)

    def receive(self) -> Step:
        """Step every lane once; a lane whose episode ended is reset instead."""
        frames, reward = [], np.zeros(self.num_lanes)
        terminated = np.zeros(self.num_lanes, dtype=bool)
        truncated = np.zeros(self.num_lanes, dtype=bool)
        valid = ~self._done
        for lane, env in enumerate(self._envs):
            if self._done[lane]:
                frame, _ = env.reset()
            else:
                action = int(self._actions[lane]) + self._first_action
                frame, r, terminated[lane], truncated[lane], _ = env.step(action)
                reward[lane] = float(r)
            frames.append(frame)
        self._done = terminated | truncated
        life_lost = np.zeros(self.num_lanes, dtype=bool)
        return Step(self._frames(frames), reward, terminated, truncated, life_lost, valid)

    def _frames(self, frames: list[Any]) -> np.ndarray:
        spec = self.observation_spec
        stacked = np.stack([np.asarray(f, dtype=spec.dtype).reshape(spec.shape) for f in frames])
        return stacked - self._first_state if spec.categories else stacked

    @property
    def frames_per_second(self) -> float:
        """How fast the environment's pictures are meant to be shown; 30 where it does not say."""
        return float(self._envs[0].metadata.get("render_fps") or 30)

    def render(self) -> np.ndarray:
        """The first lane's picture, uint8 [H, W, 3].

        Raises:
            UserError: the environment draws none.
        """
        picture = self._envs[0].render()
        if picture is None:
            raise UserError(f"{self._envs[0].spec.id} draws no pictures; leave --video out")
        return np.asarray(picture, dtype=np.uint8)

    def state_dict(self) -> dict[str, Any]:
        """Empty: Gymnasium environments offer no way to save their state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Never called: these lanes are not restorable."""
        raise RuntimeError("Gymnasium lanes cannot be restored")

    def close(self) -> None:
        """Close every environment."""
        for env in self._envs:
            env.close()


def _make(env_id: str, render_mode: str | None) -> Any:
    import gymnasium
    from gymnasium import error

    games = atari_games()
    known = [
        name
        for name, spec in gymnasium.registry.items()
        if name in games or not str(spec.entry_point).startswith(NOT_FOR_AGENTS)
    ]
    try:
        options: dict[str, Any] = {"render_mode": render_mode} if render_mode else {}
        return gymnasium.make(env_id, **options)
    except (
        error.NameNotFound,
        error.NamespaceNotFound,
        error.VersionNotFound,
        error.DeprecatedEnv,
        error.UnregisteredEnv,
    ) as problem:
        raise UserError(
            f"there is no environment {env_id!r}{did_you_mean(env_id, known)}"
        ) from problem
    except (error.DependencyNotInstalled, ImportError) as problem:
        raise UserError(f"{env_id} needs a package that is not installed: {problem}") from problem
    except error.Error as problem:
        raise UserError(f"cannot make {env_id!r}: {problem}") from problem


def _discrete_actions(env_id: str, env: Any) -> tuple[int, int]:
    """Number of actions, and the value of the first."""
    from gymnasium.spaces import Discrete

    space = env.action_space
    if not isinstance(space, Discrete):
        raise UserError(f"{env_id} has actions {space}; this agent needs a discrete choice")
    return int(space.n), int(space.start)


def _observation_spec(env_id: str, env: Any) -> ObservationSpec:
    from gymnasium.spaces import Box, Discrete

    space = env.observation_space
    if isinstance(space, Discrete):
        return ObservationSpec((1,), "int64", categories=int(space.n))
    if isinstance(space, Box) and space.dtype == np.uint8 and _is_frame(space.shape):
        return ObservationSpec(tuple(space.shape), "uint8", IMAGE_STACK)
    if isinstance(space, Box) and len(space.shape) == 1:
        return ObservationSpec(tuple(space.shape), "float32")
    raise UserError(
        f"{env_id} has observations {space}; vectors, uint8 images [height, width] or "
        f"[height, width, colours] and single integers are supported"
    )


def _is_frame(shape: tuple[int, ...]) -> bool:
    """Whether it is [H, W] or [H, W, C], and not [C, H, W]."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4)
