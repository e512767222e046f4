"""Our lanes as a vector environment of stable-baselines3.

That library wants SAME_STEP autoreset: when an episode ends, the step returns the first observation
of the next one, and the final one in ``infos``. Lanes that advance together cannot give that, so
every environment here is a lane of its own, which alone takes the extra tick that resets it.

Legend: L lanes, K frames stacked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from core.episodes import EpisodesInProgress
from core.evaluation import Episode
from core.lanes import FrameStack, Lanes, ObservationSpec, Step
from envs.gymnasium.seeds import lane_seeds


def observation_space(spec: ObservationSpec) -> spaces.Box:
    """The space of what the networks see."""
    if spec.categories:
        return spaces.Box(0.0, 1.0, (spec.categories,), np.float32)
    shape = network_view(np.zeros((1, *spec.stacked_shape), dtype=spec.dtype), spec).shape[1:]
    if spec.is_image:
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def network_view(observation: np.ndarray, spec: ObservationSpec) -> np.ndarray:
    """Stacked observations as that library's networks expect them: channels first, states one-hot.

    Args:
        observation: from ``FrameStack``, [L, K, H, W], [L, K, H, W, C], [L, features] or numbers of
            states, [L, 1].

    Returns:
        A copy, [L, K, H, W], [L, K * C, H, W], [L, features] or float32 [L, categories].
    """
    if spec.categories:
        one_hot: np.ndarray = observation == np.arange(spec.categories)
        return one_hot.astype(np.float32)
    if len(spec.shape) == 3:
        lanes, stack, height, width, channels = observation.shape
        observation = np.moveaxis(observation, -1, 2)
        return observation.reshape(lanes, stack * channels, height, width).copy()
    return np.array(observation, order="C")


class _Lane:
    """One lane, its stacked frames and the sums of the episode in progress."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self._frames = FrameStack(lanes.observation_spec, 1)
        self._episodes = EpisodesInProgress(1)
        self._action = np.zeros(1, dtype=np.int64)

    def reset(self, seed: int) -> np.ndarray:
        self._episodes = EpisodesInProgress(1)
        return self.skip(self._push(self.lanes.reset(seed)), ended=False)[0]

    def send(self, action: int) -> None:
        self._action = np.array([action])
        self.lanes.send(self._action)

    def receive(self) -> tuple[np.ndarray, Step, Episode | None]:
        """Observation, what the tick returned, and the episode if it ended."""
        step = self.lanes.receive()
        while step.busy[0]:  # that library knows no tick without a transition
            self.lanes.send(self._action)
            step = self.lanes.receive()
        finished = self._episodes.update(step)
        return self._push(step), step, finished[0] if finished else None

    def skip(self, observation: np.ndarray, ended: bool) -> tuple[np.ndarray, Episode | None]:
        """Take the ticks that ignore their action, if any: the one that resets, and those that
        start a life. The observation to act on, and the episode if one ended meanwhile."""
        episode: Episode | None = None
        while ended or self._ignores_action():
            self.send(0)
            observation, step, finished = self.receive()
            episode, ended = finished or episode, bool(step.done[0])
        return observation, episode

    def _ignores_action(self) -> bool:
        return bool(getattr(self.lanes, "ignores_action", [False])[0])

    def _push(self, step: Step) -> np.ndarray:
        shown: np.ndarray = network_view(self._frames.push(step), self.lanes.observation_spec)[0]
        return shown


class LanesVecEnv(VecEnv):
    """L separate lanes with SAME_STEP autoreset, clipped rewards and raw scores.

    ``infos`` hold ``episode`` (r, l, t: the raw score, agent steps and seconds) at the end of a
    whole game, ``terminal_observation`` wherever ``dones`` is true, and ``TimeLimit.truncated``.
    """

    def __init__(
        self,
        open_lane: Callable[[int], Lanes],
        num_lanes: int,
        *,
        clip_rewards: bool,
        life_loss_terminal: bool,
    ) -> None:
        """Args:
        open_lane: opens lanes of number one, told which of the L they are.
        num_lanes: L.
        clip_rewards: the agent sees the sign of rewards.
        life_loss_terminal: a lost life is ``done`` to the agent; the game goes on.
        """
        self._lanes: list[_Lane] = []
        try:
            for lane in range(num_lanes):
                self._lanes.append(_Lane(open_lane(lane)))
            first = self._lanes[0].lanes
            self.observation_spec = first.observation_spec
            space = observation_space(self.observation_spec)
        except BaseException:
            self.close()
            raise
        self.render_mode = None
        super().__init__(num_lanes, space, spaces.Discrete(first.num_actions))
        self._clip_rewards = clip_rewards
        self._life_loss_terminal = life_loss_terminal
        self._started = time.monotonic()

    def seed(self, seed: int | None = None) -> list[int]:
        """Seeds of the lanes for the next ``reset``, derived from one."""
        seed = np.random.randint(1 << 31) if seed is None else seed
        seeds: list[int] = lane_seeds(seed, self.num_envs).tolist()
        self._seeds = list(seeds)
        return seeds

    def reset(self) -> np.ndarray:
        """Start every lane anew, from the seeds of ``seed`` or else from numpy's random stream."""
        drawn = [np.random.randint(1 << 31) if seed is None else seed for seed in self._seeds]
        self._reset_seeds()
        return np.stack(
            [lane.reset(int(seed)) for lane, seed in zip(self._lanes, drawn, strict=True)]
        )

    def step_async(self, actions: np.ndarray) -> None:
        """Start all lanes on their actions, int64 [L]."""
        for lane, action in zip(self._lanes, actions, strict=True):
            lane.send(int(action))

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations, rewards float32 [L], dones bool [L], infos."""
        observations = []
        rewards = np.zeros(self.num_envs, dtype=np.float32)
        dones = np.zeros(self.num_envs, dtype=bool)
        infos: list[dict[str, Any]] = []
        for index, lane in enumerate(self._lanes):
            observation, step, episode = lane.receive()
            raw = step.reward[0]
            rewards[index] = np.sign(raw) if self._clip_rewards else raw
            life_lost = self._life_loss_terminal and bool(step.life_lost[0])
            dones[index] = episode is not None or life_lost
            info: dict[str, Any] = {
                "TimeLimit.truncated": bool(step.truncated[0] and not step.terminated[0])
            }
            if dones[index]:
                info["terminal_observation"] = observation
            observation, later = lane.skip(observation, episode is not None)
            episode = episode or later
            if episode is not None:
                info["episode"] = {
                    "r": episode.score,
                    "l": episode.length_steps,
                    "t": round(time.monotonic() - self._started, 6),
                }
            observations.append(observation)
            infos.append(info)
        return np.stack(observations), rewards, dones, infos

    def close(self) -> None:
        """Close every lane, the last one first."""
        for lane in reversed(self._lanes):
            lane.lanes.close()

    def env_is_wrapped(
        self, wrapper_class: type, indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        """True for Monitor, whose ``episode`` infos these lanes give themselves."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """An attribute of this environment, for every lane asked for."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(
        self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None
    ) -> None:
        """Refused: lanes have nothing to set."""
        raise NotImplementedError(f"lanes have no {attr_name} to set")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: int | Iterable[int] | None = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Refused: lanes have no methods to call from outside."""
        raise NotImplementedError(f"lanes have no {method_name} to call")
