"""Puts a model of stable-baselines3 together from our options."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from agents.baselines.config import SB3Config, SB3DQNConfig, SB3PPOConfig
from core.errors import UserError
from core.lanes import ObservationSpec
from core.probe import resolve_device
from core.replay_plan import read_available_memory
from envs.atari_protocol import PROTOCOLS
from envs.make import is_atari, make_lanes

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from agents.baselines.vec_env import LanesVecEnv

SMALLEST_CNN_SIDE = 36
"""Nature's convolutions leave nothing of a smaller picture."""


def build_env(config: SB3Config) -> LanesVecEnv:
    """The lanes of these options.

    Raises:
        UserError: the environment cannot be driven.
    """
    from agents.baselines.vec_env import LanesVecEnv

    atari = is_atari(config.env)
    return LanesVecEnv(
        lambda lane: make_lanes(config.env, 1, config.atari, config.gymnasium, first_lane=lane),
        config.lanes,
        clip_rewards=config.clip_rewards,
        life_loss_terminal=atari and PROTOCOLS[config.atari.protocol].life_loss_terminal,
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
        "batch_size": config.batch_size,
        "gamma": config.gamma,
        "max_grad_norm": config.max_grad_norm,
    }
    if isinstance(config, SB3PPOConfig):
        return PPO(
            **options,
            learning_rate=LinearSchedule(config.learning_rate, 0.0, 1.0),
            n_steps=config.n_steps,
            n_epochs=config.n_epochs,
            gae_lambda=config.gae_lambda,
            clip_range=LinearSchedule(config.clip_range, 0.0, 1.0),
            vf_coef=config.vf_coef,
            ent_coef=config.ent_coef,
        )
    require_memory(config, env)
    return DQN(
        **options,
        learning_rate=config.learning_rate,
        buffer_size=config.buffer_size,
        learning_starts=config.learning_starts,
        train_freq=config.train_freq,
        gradient_steps=config.gradient_steps,
        target_update_interval=config.target_update_interval,
        exploration_fraction=config.exploration_fraction,
        exploration_initial_eps=config.exploration_initial_eps,
        exploration_final_eps=config.exploration_final_eps,
    )


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
    item = 1 if spec.is_image else 4
    return 2 * config.buffer_size * math.prod(spec.stacked_shape) * item


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
