"""Puts the reinforced policy together from its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.alphago.networks import build_policy_network
from agents.alphago.reinforcement import (
    Experience,
    ReinforcedPolicy,
)
from agents.alphago.rl_config import GoRLConfig
from core.agent import Task
from core.built import Built, Note
from core.errors import UserError
from core.learner import Arithmetic
from core.machine.probe import Trial, choose_arithmetic
from envs.games.go.alphago_planes import POLICY_PLANES


def build(
    config: GoRLConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """The agent, ready to be trained.

    Args:
        config: its options.
        folder: not used: nothing is kept in files.
        note: told what was chosen.
        arithmetic: of the run that is resumed; None to choose by measuring.

    Raises:
        UserError: the network cannot take the board, or there is no such device.
    """
    if not config.run.initial:
        note("without --initial RUN of go-policy it begins with a policy that knows nothing")
    if arithmetic is None:
        probe = choose_arithmetic(config.run, _trial(config))
        note(str(probe))
        arithmetic = probe.choice
    torch.set_num_threads(arithmetic.threads)
    torch.manual_seed(config.run.seed)
    network = arithmetic.place(build_policy_network(config))
    agent = ReinforcedPolicy(config, network, arithmetic)
    task = Task(config.env, "", 1, agent.evaluate, lambda score: None)
    parameters = sum(p.numel() for p in network.parameters())
    return Built(agent, task, arithmetic, {"parameters": parameters})


def describe(config: GoRLConfig) -> list[str]:
    """What a dry run says."""
    network = build_policy_network(config)
    return [
        f"{sum(p.numel() for p in network.parameters()):,} parameters",
        f"{config.run.total_steps // config.games:,} iterations of {config.games} games",
    ]


def build_policy(
    config: GoRLConfig, lanes: Any, weights: Mapping[str, Any], seed: int, device: str
) -> Any:
    """Never: its strength is the result of matches. Raises UserError that names the command."""
    raise UserError("this policy is scored by matches: tengen match go --first RUN --second uct")


def _trial(config: GoRLConfig) -> Trial:
    """An update on made-up positions, for the start-up probe."""
    rows = min(config.batch_size, 8 * config.games)
    planes = np.ones((rows, POLICY_PLANES, config.size, config.size), np.uint8)
    made_up = Experience(planes, np.zeros(rows, np.int64), np.ones(rows, np.float32))

    def trial(arithmetic: Arithmetic) -> Callable[[], object]:
        network = arithmetic.place(build_policy_network(config))
        agent = ReinforcedPolicy(config, network, arithmetic)
        return lambda: agent.learner.update(lambda: agent.loss(made_up, 0.0))

    return trial
