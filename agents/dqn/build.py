"""Puts a DQN together from its options: lanes, replay, arithmetic, agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.dqn.agent import DQN, build_network
from agents.dqn.config import LEAST_HEADROOM, DQNConfig
from agents.dqn.policy import EpsilonGreedy
from core.built import Built, Note
from core.concurrent import on_lanes
from core.errors import UserError
from core.evaluation import Policy
from core.lanes import FrameStack, Lanes
from core.learner import Arithmetic, load_weights
from core.machine import ranks
from core.machine.probe import Trial, choose_arithmetic
from core.replay.on_device import DeviceFrames, bytes_of, fits_on
from core.replay.plan import legal_column
from core.replay.ring import FrameReplay, ReplayPlan, ReplaySpec, check_fits, plan_replay
from core.replay.sampling import Transitions
from envs.make import evaluation_epsilon, is_atari, make_lanes
from envs.task import make_task

HEADROOM = 128_000
"""Transitions, about as many as the capacity, that may pass between two checkpoints without
overwriting on disk what the first refers to; when they have passed, the next is written early."""


def build(
    config: DQNConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """A DQN ready to be trained.

    Args:
        config: its options.
        folder: where the replay keeps its files.
        note: told what was chosen.
        arithmetic: of the run that is resumed; None to choose by measuring.

    Raises:
        UserError: unknown environment or network, options that are not for its observations, too
            little memory or disk, or lanes or a batch that several processes cannot share.
    """
    config = ranks.own_options(config, "lanes", "batch_size")
    capacity = max(1, config.replay_capacity // ranks.count())
    config = replace(config, replay_capacity=capacity)
    lanes = _open_lanes(config, config.lanes)
    try:
        spec = replay_spec(config, lanes)
        plan = _planned(config, spec)
        check_fits(plan, folder)
        note(plan.text)
        replay = FrameReplay(spec, folder)
        if arithmetic is None:
            acting = int(config.concurrent_ticks > 0)
            probe = choose_arithmetic(config.run, _trial(config, lanes, replay), acting)
            note(str(probe))
            arithmetic = probe.choice
        torch.set_num_threads(arithmetic.threads)
        if _draws_on_device(config, spec, arithmetic.device):
            replay.mirror(DeviceFrames(spec, arithmetic.device))
            note(f"replay: frames on {arithmetic.device} too, {bytes_of(spec) / 1e9:.1f} GB")
        agent = DQN(
            config,
            lanes,
            replay,
            arithmetic,
            evaluation_epsilon=evaluation_epsilon(
                config.evaluation_epsilon, config.env, config.atari
            ),
            life_loss_terminal=is_atari(config.env) and config.atari.life_ends_return,
        )
    except BaseException:
        lanes.close()
        raise
    return Built(
        on_lanes(agent, config.run.seed, config.concurrent_ticks, arithmetic.device),
        make_task(config.env, config.atari, config.gymnasium, config.run, agent.evaluation_policy),
        arithmetic,
        {
            "parameters": parameter_count(agent.online),
            "replay": plan.text,
        },
    )


def build_policy(
    config: DQNConfig, lanes: Lanes, weights: Mapping[str, Any], seed: int, device: str
) -> Policy:
    """The policy of a trained network on the given lanes.

    Raises:
        UserError: the weights belong to another network or game.
    """
    network = build_network(config, lanes)
    load_weights(network, weights)
    arithmetic = Arithmetic(device)
    policy = EpsilonGreedy(
        arithmetic.place(network),
        FrameStack(lanes.observation_spec, lanes.num_lanes),
        lanes.num_actions,
        arithmetic,
        np.random.default_rng(seed),
    )
    policy.epsilon = evaluation_epsilon(config.evaluation_epsilon, config.env, config.atari)
    return policy


def describe(config: DQNConfig) -> list[str]:
    """What a dry run says: the network's size and what the replay will take."""
    lanes = _open_lanes(config, 1)
    try:
        network = build_network(config, lanes)
        plan = _planned(config, replay_spec(config, lanes))
    finally:
        lanes.close()
    return [f"{parameter_count(network):,} parameters", plan.text]


def replay_spec(config: DQNConfig, lanes: Lanes) -> ReplaySpec:
    """The memory that these options need."""
    observation = lanes.observation_spec
    return ReplaySpec(
        capacity=config.replay_capacity,
        lanes=config.lanes,
        frame_shape=observation.shape,
        frame_dtype=observation.dtype,
        stack=observation.stack,
        n_step=max(config.n_step, config.n_step_start),
        storage=config.replay,
        headroom=min(HEADROOM, max(LEAST_HEADROOM, config.replay_capacity)),
        durable=config.save_replay,
        columns=(legal_column(lanes.num_actions),) if observation.masked else (),
    )


def _planned(config: DQNConfig, spec: ReplaySpec) -> ReplayPlan:
    """The plan of the replay. Raises UserError where a batch could never be drawn."""
    plan = plan_replay(spec)
    # Of the newest transitions it is not known yet what follows.
    most = (spec.window_rows - spec.n_step) * spec.lanes
    if config.batch_size > most:
        raise UserError(
            f"--batch-size {config.batch_size} is more than a replay of {spec.capacity} can ever "
            f"give; use at most {most}, or a larger --replay-capacity"
        )
    return plan


def _draws_on_device(config: DQNConfig, spec: ReplaySpec, device: str) -> bool:
    # Shifted observations are made on the processor.
    return not config.shift_pixels and fits_on(device, spec)


def _open_lanes(config: DQNConfig, num_lanes: int) -> Lanes:
    lanes = make_lanes(
        config.env, num_lanes, config.atari, config.gymnasium,
        meanwhile=config.concurrent_ticks > 0,
    )  # fmt: skip
    spec = lanes.observation_spec
    if config.shift_pixels and not spec.is_image:
        lanes.close()
        raise UserError(
            f"--shift-pixels {config.shift_pixels} is for images, and {config.env} shows vectors "
            f"of shape {spec.shape}"
        )
    return lanes


def parameter_count(network: torch.nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(p.numel() for p in network.parameters())


def _trial(config: DQNConfig, lanes: Lanes, replay: FrameReplay) -> Trial:
    """The agent's own update on made-up data, for the start-up probe."""
    size = config.batch_size
    numbers, zeros = np.zeros(size, np.int64), np.zeros(size, np.float32)
    spec = replay.spec
    frames = np.zeros((size, *spec.frame_shape, spec.stack), spec.frame_dtype)
    # In memory as the replay draws them: another layout takes half as long again.
    observation = np.moveaxis(frames, -1, 1) if spec.is_stacked else frames[..., 0]
    legal = np.ones((size, lanes.num_actions), np.bool_)
    masked = legal if lanes.observation_spec.masked else None

    def trial(arithmetic: Arithmetic) -> Callable[[], object]:
        drawn: np.ndarray | torch.Tensor = observation
        if _draws_on_device(config, spec, arithmetic.device):
            drawn = torch.from_numpy(np.ascontiguousarray(observation)).to(arithmetic.device)
        sample = Transitions(drawn, numbers, zeros, zeros, drawn, numbers, numbers, masked, masked)
        agent = DQN(config, lanes, replay, arithmetic, 0.0, life_loss_terminal=False)
        return lambda: agent.update(sample)

    return trial
