"""Puts REINFORCE together from its options: lanes, arithmetic, agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.reinforce.agent import Reinforce, SoftmaxPolicy, build_network
from agents.reinforce.config import ReinforceConfig
from agents.reinforce.episodes import FinishedEpisode
from core.built import Built, Note
from core.evaluation import Policy
from core.lane_agent import OnLanes
from core.lanes import FrameStack, Lanes, first_step
from core.learner import Arithmetic, load_weights
from core.machine import ranks
from core.machine.probe import Trial, choose_arithmetic
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
        UserError: unknown environment or network, or lanes or episodes that several processes
            cannot share.
    """
    config = ranks.own_options(config, "lanes", "episodes_per_update")
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


def _trial(config: ReinforceConfig, lanes: Lanes) -> Trial:
    """The agent's own update, and the acting before it, on made-up data, for the probe."""
    spec, steps = lanes.observation_spec, TRIAL_STEPS
    width = lanes.num_actions if spec.masked else 0
    episode = FinishedEpisode(
        np.zeros((steps + 1, *spec.shape), spec.dtype), np.zeros(steps + 1, np.bool_),
        np.zeros(steps, np.int64), np.ones(steps), np.ones((steps, width), np.bool_),
        terminated=True,
    )  # fmt: skip
    step = first_step(episode.frames[:1].repeat(config.lanes, axis=0))

    def trial(arithmetic: Arithmetic) -> Callable[[], object]:
        agent = Reinforce(config, lanes, arithmetic)

        def update() -> None:
            for _ in range(steps // config.lanes):
                agent.act(step, 0)
            agent.update([episode])

        return update

    return trial
