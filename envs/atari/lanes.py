"""Atari 2600 lanes on ale-py's native vector environment.

Frames are 84x84 grey, or of another size where asked, the maximum of the last two of four emulator
frames (Mnih et al. 2015). Single frames with raw rewards come out; stacking, clipping and the
treatment of lost lives belong to the learner. Lives are read from the emulator, because the vector
environment's own life-loss modes either reset the game at every life or report a lost life as a
finished episode.

The vector environment cannot be cloned, so these lanes are not restorable: a resumed run starts
its lanes at an episode boundary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.errors import UserError, did_you_mean
from core.lanes import ObservationSpec, Step, check_actions, first_step
from core.machine.environment_facts import usable_cores
from envs.atari.protocol import AtariProtocol
from envs.gymnasium.seeds import lane_seeds
from envs.names import atari_games

FRAME_SIDE = 84
SCREEN_SHAPE = (210, 160)
STACK = 4
NOOP, FIRE = 0, 1
"""In every game's own actions, where it has FIRE, as among all 18."""


def rom_name(env_id: str) -> str:
    """The ROM of an id such as 'ALE/SpaceInvaders-v5': 'space_invaders'.

    Raises UserError for an id that is no Atari game, with the nearest one.
    """
    known = atari_games()
    if env_id not in known:
        raise UserError(
            f"there is no Atari game {env_id!r}{did_you_mean(env_id, known)} "
            f"(ids look like ALE/Pong-v5)"
        )
    return known[env_id]


class AtariLanes:
    """L games of one ROM. See ``core.lanes.Lanes`` for the contract."""

    restorable = False
    overlaps = True

    def __init__(
        self,
        env_id: str,
        num_lanes: int,
        protocol: AtariProtocol,
        *,
        evaluation: bool = False,
        full_action_space: bool = False,
        threads: int = 0,
        pixels: int = FRAME_SIDE,
        colour: bool = False,
    ) -> None:
        """Open the emulators.

        Args:
            env_id: such as 'ALE/Pong-v5'.
            num_lanes: games side by side.
            protocol: how episodes start and end.
            evaluation: use the protocol's evaluation frame cap.
            full_action_space: all 18 actions, whatever the protocol has.
            threads: native threads; 0 for one per core, at most one per lane. (The emulator's own
                default ignores the limits of a container.)
            pixels: height and width of frames.
            colour: 210x160 RGB screens instead of grey frames, for videos.

        Raises:
            UserError: unknown game, or a ROM that cannot be opened.
        """
        from ale_py.vector_env import AtariVectorEnv

        cap = protocol.evaluation_frame_cap if evaluation else protocol.training_frame_cap
        rom = rom_name(env_id)
        frame = (*SCREEN_SHAPE, 3) if colour else (pixels, pixels)
        try:
            self._env = AtariVectorEnv(
                rom,
                num_lanes,
                num_threads=min(threads or usable_cores(), num_lanes),
                max_num_frames_per_episode=cap,
                repeat_action_probability=protocol.sticky_probability,
                full_action_space=full_action_space or protocol.full_action_space,
                img_height=frame[0],
                img_width=frame[1],
                grayscale=not colour,
                stack_num=1,
                # The emulator draws 0..noop_max-1 no-ops, so 1 means none.
                noop_max=protocol.noop_max + 1,
                use_fire_reset=False,
                reward_clipping=False,
            )
        except (RuntimeError, FileNotFoundError, OSError) as error:
            raise UserError(
                f"cannot open the ROM of {env_id}: {error}; `tengen doctor` checks the installation"
            ) from error
        self.num_lanes, self.num_actions = num_lanes, len(self._env.ale.get_action_set())
        self._life_start = self._start_of_life(protocol)
        self.observation_spec = ObservationSpec(frame, "uint8", 1 if colour else STACK)
        self._done = np.zeros(num_lanes, dtype=bool)
        self._lives = np.zeros(num_lanes, dtype=np.int64)
        self._steps_to_start = np.zeros(num_lanes, dtype=np.int64)

    def _start_of_life(self, protocol: AtariProtocol) -> np.ndarray:
        """The actions that start a life, int64; a game's first leaves the first of them out."""
        if not protocol.fire_reset:
            return np.zeros(0, dtype=np.int64)
        import ale_py

        has_fire = ale_py.Action.FIRE in self._env.ale.get_action_set()
        return np.array([NOOP, FIRE, 2] if has_fire else [NOOP])

    @property
    def ignores_action(self) -> np.ndarray:
        """True where the next tick will ignore its action, bool [L]."""
        ignores: np.ndarray = self._done | (self._steps_to_start > 0)
        return ignores

    def reset(self, seed: int) -> Step:
        """Start every lane anew; lane i is seeded from (seed, i)."""
        observation, info = self._env.reset(seed=lane_seeds(seed, self.num_lanes))
        self._done = np.zeros(self.num_lanes, dtype=bool)
        self._lives = np.array(info["lives"], dtype=np.int64)
        self._steps_to_start[:] = max(0, len(self._life_start) - 1)
        return first_step(self._newest(observation))

    def send(self, actions: np.ndarray) -> None:
        """Start all lanes on their actions, int64 [L], and return at once."""
        actions = check_actions(actions, self.num_lanes, self.num_actions)
        starting = self._steps_to_start > 0
        if starting.any():
            actions = actions.copy()
            actions[starting] = self._life_start[-self._steps_to_start[starting]]
        self._env.send(actions)

    def receive(self) -> Step:
        """Wait for all lanes."""
        observation, reward, terminated, truncated, info = self._env.recv()
        lives = np.array(info["lives"], dtype=np.int64)
        valid = ~self.ignores_action
        done = terminated | truncated
        life_lost = valid & ~done & (lives < self._lives)
        if len(self._life_start):
            life_lost &= lives > 0  # where none is left, the game is over a few frames later
            left = np.maximum(0, self._steps_to_start - 1)
            left[self._done] = len(self._life_start) - 1
            left[life_lost] = len(self._life_start)
            self._steps_to_start = np.where(done, 0, left)
        self._done, self._lives = done, lives
        return Step(
            self._newest(observation),
            reward.astype(np.float64),
            terminated,
            truncated,
            life_lost,
            valid,
            ~valid,
        )

    @staticmethod
    def _newest(observation: np.ndarray) -> np.ndarray:
        return observation[:, -1]  # [L, 1, ...] -> [L, ...]

    def state_dict(self) -> dict[str, Any]:
        """Empty: the native emulators cannot be saved."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Never called: these lanes are not restorable."""
        raise RuntimeError("Atari lanes cannot be restored")

    def close(self) -> None:
        """Stop the native threads."""
        self._env.close()
