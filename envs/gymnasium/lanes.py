"""Lanes over any Gymnasium environment with discrete actions.

Environments are stepped one after another in Python, so this is for light environments such as
classic control; heavy ones have workers (``worker_lanes``), Atari has native lanes of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from core.errors import UserError
from core.lanes import Step, check_actions, first_step
from envs.gymnasium.handed_over import (
    HandoverError,
    explain,
    legal_actions,
    require_finite,
    require_no_mask,
    reset_parts,
    step_parts,
)
from envs.gymnasium.making import discrete_actions, make_environment
from envs.gymnasium.observations import reader_for
from envs.gymnasium.seeds import GlobalRandomness, lane_seeds


class GymnasiumLanes:
    """L copies of one Gymnasium environment. See ``core.lanes.Lanes`` for the contract."""

    restorable = False
    overlaps = False

    def __init__(
        self,
        env_id: str,
        num_lanes: int,
        *,
        arguments: Mapping[str, Any] | None = None,
        render: bool = False,
        first_lane: int = 0,
    ) -> None:
        """Make the environments.

        Args:
            env_id: any Gymnasium id.
            num_lanes: how many.
            arguments: of the environment's constructor.
            render: with pictures.
            first_lane: number of the first of these lanes where they are a worker's share of more.

        Raises:
            UserError: unknown id, missing dependency, actions that are not discrete, or
                observations that no network here reads.
        """
        self._env_id = env_id
        self._first_lane = first_lane
        mode = "rgb_array" if render else None
        self._randomness = GlobalRandomness()
        self._randomness.seed(first_lane)  # constructors may draw, too
        self._envs: list[Any] = []
        try:
            for _ in range(num_lanes):
                self._envs.append(make_environment(env_id, arguments or {}, mode))
            self.num_actions, self.first_action = discrete_actions(env_id, self._envs[0])
            self.reader = reader_for(env_id, self._envs[0].observation_space)
            masked = _hands_over_masks(make_environment(env_id, arguments or {}, mode))
        except BaseException:
            self.close()
            raise
        self.num_lanes = num_lanes
        self.observation_spec = replace(self.reader.spec, masked=masked)
        self._done = np.zeros(num_lanes, dtype=bool)
        self._actions = np.zeros(num_lanes, dtype=np.int64)
        self._ticks = 0

    def reset(self, seed: int) -> Step:
        """Start every lane anew; lane i is seeded from (seed, i).

        Raises:
            UserError: the environment fails, or hands over what its spaces do not promise.
        """
        return self.reset_from(lane_seeds(seed, self.num_lanes))

    def reset_from(self, seeds: np.ndarray) -> Step:
        """Start every lane anew from a seed of its own, int64 [L]. Raises as ``reset`` does."""
        self._randomness.seed(int(seeds[0]))
        self._ticks = 0
        self._done[:] = False
        frames, legal = self._new_frames(), self._new_masks()
        for lane, (env, lane_seed) in enumerate(zip(self._envs, seeds, strict=True)):
            try:
                observation, info = reset_parts(env.reset(seed=int(lane_seed)))
                frames[lane] = self.reader.first_frame(observation)
                if legal is not None:
                    legal[lane] = legal_actions(info, self.num_actions)
            except Exception as error:
                raise self._failure(lane, error, "reset") from error
        return first_step(frames, legal)

    def _new_frames(self) -> np.ndarray:
        """Room for a frame of every lane, which an environment may overwrite in the next lane's
        step."""
        spec = self.observation_spec
        return np.empty((self.num_lanes, *spec.shape), spec.dtype)

    def _new_masks(self) -> np.ndarray | None:
        """Room for the legal actions of every lane, where the environment names them."""
        shape = (self.num_lanes, self.num_actions)
        return np.empty(shape, dtype=bool) if self.observation_spec.masked else None

    def send(self, actions: np.ndarray) -> None:
        """Keep the actions, int64 [L], for ``receive``."""
        self._actions = check_actions(actions, self.num_lanes, self.num_actions)

    def receive(self) -> Step:
        """Step every lane once; a lane whose episode ended is reset instead.

        Raises:
            UserError: the environment fails, or hands over what its spaces do not promise.
        """
        self._ticks += 1
        frames, legal, reward = self._new_frames(), self._new_masks(), np.zeros(self.num_lanes)
        terminated = np.zeros(self.num_lanes, dtype=bool)
        truncated = np.zeros(self.num_lanes, dtype=bool)
        valid = ~self._done
        for lane, env in enumerate(self._envs):
            try:
                if self._done[lane]:
                    observation, info = env.reset()
                else:
                    observation, reward[lane], terminated[lane], truncated[lane], info = step_parts(
                        env.step(int(self._actions[lane]) + self.first_action)
                    )
                frames[lane] = self.reader.frame(observation)
                if legal is not None:
                    legal[lane] = legal_actions(info, self.num_actions)
                else:
                    require_no_mask(info)
            except Exception as error:
                raise self._failure(lane, error, "step" if valid[lane] else "reset") from error
        self._require_finite(frames, reward)
        self._done = terminated | truncated
        life_lost = np.zeros(self.num_lanes, dtype=bool)
        return Step(frames, reward, terminated, truncated, life_lost, valid, ~valid, legal)

    def _failure(self, lane: int, error: Exception, call: str) -> UserError:
        if not isinstance(error, HandoverError):
            error = explain(error, call)
        return UserError(
            f"{self._env_id}, lane {self._first_lane + lane}, step {self._ticks:,}: {error}"
        )

    def _require_finite(self, observations: np.ndarray, reward: np.ndarray) -> None:
        """All lanes at once; the lane is looked for only when there is something to find."""
        try:
            require_finite(observations, "the observation")
            require_finite(reward, "the reward")
        except HandoverError:
            for lane in range(self.num_lanes):
                try:
                    require_finite(observations[lane], "the observation")
                    require_finite(reward[lane], "the reward")
                except HandoverError as error:
                    raise self._failure(lane, error, "step") from error

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
            raise UserError(f"{self._env_id} draws no pictures; leave --video out")
        return np.asarray(picture, dtype=np.uint8)

    def state_dict(self) -> dict[str, Any]:
        """Empty: Gymnasium environments offer no way to save their state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Never called: these lanes are not restorable."""
        raise RuntimeError("Gymnasium lanes cannot be restored")

    def close(self) -> None:
        """Close every environment."""
        try:
            for env in self._envs:
                env.close()
        finally:
            self._randomness.restore()


def _hands_over_masks(env: Any) -> bool:
    """Whether ``info`` names the legal actions: nothing but a reset tells, here of an environment
    that is then closed. What is wrong with it is told by the lanes' own reset, with the lane."""
    with suppress(Exception), closing(env):
        _, info = env.reset(seed=0)
        return info.get("action_mask") is not None
    return False
