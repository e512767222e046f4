"""What the start-up probe times is what the agent does in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.dqn.agent import DQN
from agents.dqn.build import build as build_dqn
from agents.dqn.config import DQNConfig
from agents.pqn.agent import PQN
from agents.pqn.build import build as build_pqn
from agents.pqn.config import PQNConfig
from agents.reinforce.agent import Reinforce
from agents.reinforce.build import build as build_reinforce
from agents.reinforce.config import ReinforceConfig
from core.config import RunConfig
from core.learner import Arithmetic
from core.machine.probe import ProbeResult, Trial

CATCH, CARTPOLE = "tengen/Catch", "CartPole-v1"
DQN_SMALL = {"replay_capacity": 1_000, "batch_size": 8}


@pytest.mark.parametrize(
    ("agent", "build", "config"),
    [
        (DQN, build_dqn, DQNConfig(env=CATCH, network="mlp", **DQN_SMALL)),
        (DQN, build_dqn, DQNConfig(env=CARTPOLE, network="mlp", double=True, **DQN_SMALL)),
        (DQN, build_dqn, DQNConfig(env="FrozenLake-v1", network="mlp", **DQN_SMALL)),
        (PQN, build_pqn, PQNConfig(env=CATCH)),
        (PQN, build_pqn, PQNConfig(env=CARTPOLE)),
        (Reinforce, build_reinforce, ReinforceConfig(env=CATCH)),
        (Reinforce, build_reinforce, ReinforceConfig(env=CARTPOLE)),
    ],
)
def test_the_probe_times_the_agents_own_update(
    agent: Any, build: Any, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates: list[int] = []
    real = agent.update

    def update(agent: Any, *arguments: Any) -> None:
        real(agent, *arguments)
        updates.append(agent.learner.updates)

    def choose(run: RunConfig, trial: Trial, busy_cores: int = 0) -> ProbeResult:
        timed = trial(Arithmetic())
        timed()
        timed()
        return ProbeResult(Arithmetic(), {})

    monkeypatch.setattr(agent, "update", update)
    monkeypatch.setattr(f"{build.__module__}.choose_arithmetic", choose)
    config = replace(config, lanes=4)
    built = build(config, tmp_path / "replay", lambda line: None)
    built.agent.close()
    assert updates == [1, 2]
    assert built.agent.agent.learner.updates == 0  # the agent to be trained is another
