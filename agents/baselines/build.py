"""Puts a model of stable-baselines3 together from our options."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.baselines.config import SB3Config, SB3DQNConfig, SB3PPOConfig
from core.errors import UserError
from core.lanes import ObservationSpec
from core.machine.probe import resolve_device
from core.replay.plan import read_available_memory
from envs.make import is_atari, make_lanes

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from agents.baselines.vec_env import LanesVecEnv

SMALLEST_CNN_SIDE = 36
"""Nature's convolutions leave nothing of a smaller picture."""
OURS = {"env", "lanes", "policy", "clip_rewards", "atari", "gymnasium", "run"}
"""Options that the library's models do not take; the others have its names."""


def seed_at(seed: int, agent_steps: int) -> int:
    """What happens at one moment of a run is seeded by, 31 bits."""
    return int(np.random.SeedSequence([seed, agent_steps]).generate_state(1)[0]) & 0x7FFFFFFF


def build_env(config: SB3Config) -> LanesVecEnv:
    """The lanes of these options.

    Raises:
        UserError: the environment cannot be driven.
    """
    from agents.baselines.vec_env import LanesVecEnv

    atari, workers = is_atari(config.env), min(1, config.gymnasium.env_workers)
    gymnasium = dataclasses.replace(config.gymnasium, env_workers=workers)  # for one lane
    return LanesVecEnv(
        lambda lane: make_lanes(config.env, 1, config.atari, gymnasium, first_lane=lane),
        config.lanes,
        clip_rewards=config.clip_rewards,
        life_loss_terminal=atari and config.atari.life_ends_return,
    )


def build_model(config: SB3Config, env: LanesVecEnv) -> BaseAlgorithm:
    """A new model that acts on ``env``.

    Raises:
        UserError: the device is not there, or the replay memory does not fit.
    """
    from stable_baselines3 import DQN, PPO
    from stable_baselines3.common.utils import LinearSchedule

    options: dict[str, Any] = {
        "policy": policy_name(config, env),
        "env": env,
        "seed": config.run.seed,
        "device": resolve_device(config.run.device),
    }
    options |= {name: value for name, value in vars(config).items() if name not in OURS}
    if isinstance(config, SB3PPOConfig):
        for name in ("learning_rate", "clip_range"):
            options[name] = LinearSchedule(options[name], 0.0, 1.0)
        return PPO(**options)
    require_memory(config, env)
    return DQN(**options)


def policy_name(config: SB3Config, env: LanesVecEnv) -> str:
    """That library's name of the network.

    Raises:
        UserError: convolutions were asked for where there is no picture large enough.
    """
    shape = env.observation_space.shape
    assert shape is not None
    fits = len(shape) == 3 and min(shape[1:]) >= SMALLEST_CNN_SIDE
    if config.policy == "cnn" and not fits:
        raise UserError(
            f"--policy cnn needs pictures of at least {SMALLEST_CNN_SIDE} x "
            f"{SMALLEST_CNN_SIDE}; {config.env} shows {shape}; use --policy mlp"
        )
    return "CnnPolicy" if fits and config.policy != "mlp" else "MlpPolicy"


def describe(config: SB3Config) -> list[str]:
    """What a dry run says: the replay's memory."""
    if isinstance(config, SB3PPOConfig):
        return ["no replay"]
    lanes = make_lanes(config.env, 1, config.atari, config.gymnasium)
    try:
        needed = replay_bytes(config, lanes.observation_spec)
    finally:
        lanes.close()
    return [f"replay: {config.buffer_size:,} transitions, {needed / 1e9:.2f} GB of memory"]


def replay_bytes(config: SB3DQNConfig, spec: ObservationSpec) -> int:
    """What the library's replay takes: an observation and the next one, both as whole stacks."""
    from agents.baselines.vec_env import observation_space

    space = observation_space(spec)
    assert space.dtype is not None
    return 2 * config.buffer_size * math.prod(space.shape) * space.dtype.itemsize


def require_memory(config: SB3DQNConfig, env: LanesVecEnv) -> None:
    """Raise UserError when the replay memory would not fit; the library would only run slower and
    slower and then be killed."""
    needed = replay_bytes(config, env.observation_spec)
    available = read_available_memory()
    if needed > available:
        fits = int(config.buffer_size * 0.9 * available / needed)
        raise UserError(
            f"the replay of stable-baselines3 needs {needed / 1e9:.1f} GB for "
            f"{config.buffer_size:,} transitions, {available / 1e9:.1f} GB are free; "
            f"use --buffer-size {fits}"
        )
