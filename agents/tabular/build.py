"""Puts tabular Q-learning together from its options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agents.tabular.agent import EpsilonGreedyTable, TabularQLearning
from agents.tabular.config import TabularConfig
from agents.tabular.table import require_actions
from core.built import Built, Note
from core.errors import UserError
from core.evaluation import Policy
from core.lane_agent import OnLanes
from core.lanes import Lanes
from core.learner import Arithmetic
from envs.atari.protocol import AtariConfig
from envs.make import make_lanes
from envs.task import make_task


def build(
    config: TabularConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """Tabular Q-learning ready to be trained.

    Args:
        config: its options.
        folder: not used: nothing is kept in files.
        note: told what was chosen.
        arithmetic: of the run that is resumed; the table itself is always numpy on the CPU.

    Raises:
        UserError: unknown environment, or one whose observations are not single integers.
    """
    lanes = _open_lanes(config, config.lanes)
    note(f"table of values: {lanes.num_actions} actions, grows with the states met")
    agent = TabularQLearning(config, lanes)
    return Built(
        OnLanes(agent, config.run.seed),
        make_task(config.env, AtariConfig(), config.gymnasium, config.run, agent.evaluation_policy),
        arithmetic or Arithmetic(),
    )


def build_policy(
    config: TabularConfig, lanes: Lanes, weights: Mapping[str, Any], seed: int, device: str
) -> Policy:
    """The policy of a learned table on the given lanes.

    Raises:
        UserError: the table belongs to another environment.
    """
    _require_discrete(config.env, lanes)
    if "q" not in weights:
        raise UserError("these weights are not a table of values: the file lacks 'q'")
    q = np.asarray(weights["q"])
    require_actions(q, lanes.num_actions)
    return EpsilonGreedyTable(q, config.evaluation_epsilon, np.random.default_rng(seed))


def describe(config: TabularConfig) -> list[str]:
    """What a dry run says."""
    lanes = _open_lanes(config, 1)
    lanes.close()
    return [f"a table of {lanes.num_actions} values per state"]


def _open_lanes(config: TabularConfig, num_lanes: int) -> Lanes:
    lanes = make_lanes(config.env, num_lanes, AtariConfig(), config.gymnasium)
    try:
        _require_discrete(config.env, lanes)
    except UserError:
        lanes.close()
        raise
    return lanes


def _require_discrete(env: str, lanes: Lanes) -> None:
    spec = lanes.observation_spec
    if spec.shape != (1,) or spec.dtype != "int64":
        raise UserError(
            f"a table needs observations that are single integers; {env} shows "
            f"{spec.dtype} {spec.shape}; use dqn or reinforce"
        )
