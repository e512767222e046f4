"""Puts REINFORCE together from its options: lanes, arithmetic, agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.reinforce.agent import ADAM_EPSILON, Reinforce, SoftmaxPolicy, build_network
from agents.reinforce.config import ReinforceConfig
from agents.reinforce.losses import reinforce_loss, value_loss
from core.built import Built, Note
from core.evaluation import Policy
from core.lane_agent import OnLanes
from core.lanes import FrameStack, Lanes
from core.learner import Arithmetic, Learner, load_weights
from core.optimisers import build_optimiser
from core.probe import choose_arithmetic
from envs.make import make_lanes
from envs.task import make_task

TRIAL_STEPS = 512
"""Steps in the update that the start-up probe measures."""


def build(
    config: ReinforceConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """REINFORCE ready to be trained.

    Args:
        config: its options.
        folder: not used: episodes are kept in memory.
        note: told what was chosen.
        arithmetic: of the run that is resumed; None to choose by measuring.

    Raises:
        UserError: unknown environment or network.
    """
    lanes = make_lanes(config.env, config.lanes, config.atari, config.gymnasium)
    try:
        if arithmetic is None:
            run = config.run
            # Rounding in bf16 is as large as the steps that a policy gradient makes late on.
            run = replace(run, precision="fp32") if run.precision == "auto" else run
            probe = choose_arithmetic(run, _trial(config, lanes))
            note(str(probe))
            arithmetic = probe.choice
        torch.set_num_threads(arithmetic.threads)
        agent = Reinforce(config, lanes, arithmetic)
    except BaseException:
        lanes.close()
        raise
    return Built(
        OnLanes(agent, config.run.seed),
        make_task(config.env, config.atari, config.gymnasium, config.run, agent.evaluation_policy),
        arithmetic,
        {
            "parameters": _parameter_count(agent.network),
        },
    )


def build_policy(
    config: ReinforceConfig, lanes: Lanes, weights: Mapping[str, Any], seed: int, device: str
) -> Policy:
    """The policy of a trained network on the given lanes; it takes the most likely action.

    Raises:
        UserError: the weights belong to another network or environment.
    """
    network = build_network(config, lanes)
    load_weights(network, weights)
    arithmetic = Arithmetic(device)
    arithmetic.place(network)
    frames = FrameStack(lanes.observation_spec, lanes.num_lanes)
    return SoftmaxPolicy(network, frames, arithmetic, rng=None)


def describe(config: ReinforceConfig) -> list[str]:
    """What a dry run says: the network's size."""
    lanes = make_lanes(config.env, 1, config.atari, config.gymnasium)
    try:
        return [f"{_parameter_count(build_network(config, lanes)):,} parameters"]
    finally:
        lanes.close()


def _parameter_count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _trial(config: ReinforceConfig, lanes: Lanes) -> Callable[[Arithmetic], Callable[[], object]]:
    """One update and the acting before it on made-up data, for the start-up probe."""
    spec = lanes.observation_spec
    frames = np.zeros((TRIAL_STEPS, *spec.shape, spec.stack), dtype=spec.dtype)
    stacked = np.moveaxis(frames, -1, 1) if spec.is_image else frames[..., 0]

    def trial(arithmetic: Arithmetic) -> Callable[[], object]:
        network = build_network(config, lanes)
        arithmetic.place(network)
        optimiser = build_optimiser("adam", network.parameters(), 1e-5, ADAM_EPSILON)
        learner = Learner(network, optimiser, arithmetic, config.max_gradient_norm)
        action = arithmetic.tensor(np.zeros(TRIAL_STEPS, dtype=np.int64))
        zeros = arithmetic.tensor(np.zeros(TRIAL_STEPS, dtype=np.float32))

        def loss_function() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            logits, value = network(arithmetic.tensor(stacked))
            loss, _ = reinforce_loss(logits.float(), action, zeros, config.entropy_weight)
            return loss + value_loss(value.float(), zeros), {}

        def update() -> None:
            for _ in range(TRIAL_STEPS // config.lanes):
                with torch.no_grad():
                    network.policy(arithmetic.tensor(stacked[: config.lanes]))
            learner.update(loss_function)

        return update

    return trial
