"""Agents by name, as strings: nothing is imported before an agent is chosen."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AgentEntry:
    """Where an agent's parts are."""

    name: str
    summary: str
    config: str
    """'module:Class' of its options; the module also holds PRESETS and DEFAULT_PRESET."""
    build_module: str
    """Module with build, build_policy and describe."""
    start: str | None = None
    """'module:function' that trains, for agents with a loop of their own."""


AGENTS: dict[str, AgentEntry] = {
    entry.name: entry
    for entry in (
        AgentEntry(
            "dqn",
            "deep Q-learning, on Atari or anything with discrete actions",
            "agents.dqn.config:DQNConfig",
            "agents.dqn.build",
        ),
        AgentEntry(
            "reinforce",
            "policy gradient from whole episodes, for classic control",
            "agents.reinforce.config:ReinforceConfig",
            "agents.reinforce.build",
        ),
        AgentEntry(
            "q-learning",
            "a table of exact values, for worlds with numbered states",
            "agents.tabular.config:TabularConfig",
            "agents.tabular.build",
        ),
        AgentEntry(
            "sb3-dqn",
            "yardstick: stable-baselines3's DQN on our lanes",
            "agents.baselines.config:SB3DQNConfig",
            "agents.baselines.build",
            "agents.baselines.train:start",
        ),
        AgentEntry(
            "sb3-ppo",
            "yardstick: stable-baselines3's PPO on our lanes",
            "agents.baselines.config:SB3PPOConfig",
            "agents.baselines.build",
            "agents.baselines.train:start",
        ),
    )
}


def load_object(path: str) -> Any:
    """Import 'module:name', or a whole module where there is no colon."""
    module, _, name = path.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, name) if name else loaded
