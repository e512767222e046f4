"""Puts PQN together from its options: lanes, arithmetic, agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.pqn.agent import PQN, build_network
from agents.pqn.config import PQNConfig
from agents.pqn.policy import EpsilonGreedy
from agents.pqn.rollout import Experience
from core.built import Built, Note
from core.concurrent import on_lanes
from core.evaluation import Policy
from core.lanes import Lanes
from core.learner import Arithmetic, load_weights
from core.machine.probe import Trial, choose_arithmetic
from envs.make import evaluation_epsilon, is_atari, make_lanes
from envs.task import make_task


def build(
    config: PQNConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """PQN ready to be trained.

    Args:
        config: its options.
        folder: not used: a rollout is kept in memory.
        note: told what was chosen.
        arithmetic: of the run that is resumed; None to choose by measuring.

    Raises:
        UserError: unknown environment or network.
    """
    lanes = make_lanes(
        config.env, config.lanes, config.atari, config.gymnasium, meanwhile=config.concurrent
    )
    try:
        if arithmetic is None:
            probe = choose_arithmetic(config.run, _trial(config, lanes), int(config.concurrent))
            note(str(probe))
            arithmetic = probe.choice
        torch.set_num_threads(arithmetic.threads)
        agent = PQN(
            config,
            lanes,
            arithmetic,
            life_loss_terminal=is_atari(config.env) and config.atari.life_ends_return,
        )
    except BaseException:
        lanes.close()
        raise
    return Built(
        on_lanes(
            agent,
            config.run.seed,
            config.rollout_ticks if config.concurrent else 0,
            arithmetic.device,
        ),
        make_task(config.env, config.atari, config.gymnasium, config.run, agent.evaluation_policy),
        arithmetic,
        {
            "parameters": _parameter_count(agent.network),
        },
    )


def build_policy(
    config: PQNConfig, lanes: Lanes, weights: Mapping[str, Any], seed: int, device: str
) -> Policy:
    """The policy of a trained network on the given lanes.

    Raises:
        UserError: the weights belong to another network or environment.
    """
    network = build_network(config, lanes)
    load_weights(network, weights)
    arithmetic = Arithmetic(device)
    arithmetic.place(network)
    policy = EpsilonGreedy(network, lanes, arithmetic, np.random.default_rng(seed))
    policy.epsilon = evaluation_epsilon(config.evaluation_epsilon, config.env, config.atari)
    return policy


def describe(config: PQNConfig) -> list[str]:
    """What a dry run says: the network's size."""
    lanes = make_lanes(config.env, 1, config.atari, config.gymnasium)
    try:
        return [f"{_parameter_count(build_network(config, lanes)):,} parameters"]
    finally:
        lanes.close()


def _parameter_count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _trial(config: PQNConfig, lanes: Lanes) -> Trial:
    """The agent's own update, of one minibatch of made-up data, for the start-up probe."""
    spec = lanes.observation_spec
    size = -(-config.lanes * config.rollout_ticks // config.minibatches)
    experience = Experience(
        np.zeros((size, *spec.stacked_shape), spec.dtype),
        np.zeros(size, np.int64),
        np.zeros(size, np.float32),
    )

    def trial(arithmetic: Arithmetic) -> Callable[[], object]:
        one = replace(config, epochs=1, minibatches=1, concurrent=False)
        agent = PQN(one, lanes, arithmetic, life_loss_terminal=False)
        agent.minibatch_size = size
        return lambda: agent.update(experience)

    return trial
