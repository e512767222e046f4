"""Films one episode in full colour while the policy sees what it saw in training.

The native Atari environment shows either grey 84x84 frames or the screen, not both. Two copies
with the same seed and the same actions go in lock step, sticky actions included, so one feeds the
policy and the other is filmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import numpy as np

from core.errors import UserError
from core.evaluation import Policy
from core.lanes import Lanes, Step
from envs.atari.protocol import FRAMES_PER_STEP, PROTOCOLS, AtariConfig
from envs.gymnasium.config import GymnasiumConfig
from envs.make import DEFAULTS, is_atari, make_lanes
from envs.names import canonical_id

ATARI_FRAMES_PER_SECOND = 60 // FRAMES_PER_STEP
MAX_FRAMES = 9_000
SMALL_WORLD_PIXEL = 16


def frames_per_second(env_id: str, lanes: Lanes) -> float:
    """Speed at which a film of this environment runs as a player would see it."""
    from envs.gymnasium.lanes import GymnasiumLanes

    if isinstance(lanes, GymnasiumLanes):
        return lanes.frames_per_second
    return ATARI_FRAMES_PER_SECOND if is_atari(env_id) else 30


def film_episode(
    env_id: str, atari: AtariConfig, lanes: Lanes, policy: Policy, seed: int
) -> Iterator[np.ndarray]:
    """Play one episode and yield its screens, uint8 [H, W, 3], at most 9,000.

    Args:
        env_id: the environment of ``lanes``.
        atari: its Atari options.
        lanes: one lane, opened for evaluation.
        policy: made for one lane.
        seed: of the episode.

    Raises:
        UserError: the environment cannot be filmed.
    """
    if lanes.num_lanes != 1:
        raise ValueError(f"one lane is filmed, got {lanes.num_lanes}")
    with ExitStack() as stack:
        screen = _screen(env_id, atari, lanes)
        stack.enter_context(closing(screen))
        step = lanes.reset(seed)
        yield screen.reset(seed, step)
        for _ in range(MAX_FRAMES - 1):
            actions = policy.act(step)
            lanes.send(actions)
            step = lanes.receive()
            yield screen.follow(actions, step)
            if step.done[0]:
                return


class _Screen:
    """Shows the frame itself, enlarged: right for small worlds."""

    def reset(self, seed: int, step: Step) -> np.ndarray:
        return self._show(step)

    def follow(self, actions: np.ndarray, step: Step) -> np.ndarray:
        return self._show(step)

    def _show(self, step: Step) -> np.ndarray:
        frame = step.observation[0].repeat(SMALL_WORLD_PIXEL, 0).repeat(SMALL_WORLD_PIXEL, 1)
        return np.repeat(frame[:, :, None], 3, axis=2)

    def close(self) -> None:
        pass


class _AtariScreen(_Screen):
    """A colour copy of the game, stepped alongside."""

    def __init__(self, env_id: str, atari: AtariConfig) -> None:
        from envs.atari.lanes import AtariLanes

        self._copy = AtariLanes(
            canonical_id(env_id),
            1,
            PROTOCOLS[atari.protocol],
            evaluation=True,
            full_action_space=atari.full_action_space,
            threads=1,
            colour=True,
        )

    def reset(self, seed: int, step: Step) -> np.ndarray:
        screen: np.ndarray = self._copy.reset(seed).observation[0]
        return screen

    def follow(self, actions: np.ndarray, step: Step) -> np.ndarray:
        self._copy.send(actions)
        shown = self._copy.receive()
        if shown.reward[0] != step.reward[0] or shown.done[0] != step.done[0]:
            raise RuntimeError("the filmed copy of the game left its twin's path")
        screen: np.ndarray = shown.observation[0]
        return screen

    def close(self) -> None:
        self._copy.close()


class _RenderedScreen(_Screen):
    """What the Gymnasium environment renders."""

    def __init__(self, lanes: Lanes) -> None:
        from envs.gymnasium.lanes import GymnasiumLanes

        assert isinstance(lanes, GymnasiumLanes)
        self._lanes = lanes

    def _show(self, step: Step) -> np.ndarray:
        return self._lanes.render()


def filmable_lanes(env_id: str, atari: AtariConfig, gymnasium: GymnasiumConfig = DEFAULTS) -> Lanes:
    """One lane that ``film_episode`` can film."""
    if is_atari(env_id) or env_id.startswith("tengen/"):
        return make_lanes(env_id, 1, atari, evaluation=True)
    from envs.gymnasium.lanes import GymnasiumLanes

    return GymnasiumLanes(env_id, 1, arguments=gymnasium.arguments, render=True)


def _screen(env_id: str, atari: AtariConfig, lanes: Lanes) -> _Screen:
    if is_atari(env_id):
        return _AtariScreen(env_id, atari)
    if env_id.startswith("tengen/"):
        if not lanes.observation_spec.is_image:
            raise UserError(f"{env_id} has nothing to see; leave --video and --render out")
        return _Screen()
    return _RenderedScreen(lanes)
