"""Agents on an environment that names its legal actions: they take no other, and still resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.dqn.config import DQNConfig
from agents.pqn.config import PQNConfig
from agents.reinforce.config import ReinforceConfig
from agents.tabular.config import TabularConfig
from core.errors import UserError
from core.files import checkpoint
from core.trainer import Trainer
from envs.gymnasium.lanes import GymnasiumLanes

MakeTrainer = Callable[..., Trainer]

CONFIGS: dict[str, Any] = {
    "dqn": DQNConfig(env="Taxi-v4", lanes=4, warmup_steps=100, batch_size=8, replay_capacity=900),
    "reinforce": ReinforceConfig(env="Taxi-v4", lanes=4, episodes_per_update=4),
    "pqn": PQNConfig(env="Taxi-v4", lanes=4, rollout_ticks=20, minibatches=2, epochs=1),
    "q-learning": TabularConfig(env="Taxi-v4", lanes=4),
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each action that counted was legal."""
    found: list[bool] = []
    send, receive, reset = GymnasiumLanes.send, GymnasiumLanes.receive, GymnasiumLanes.reset
    shown: dict[int, Any] = {}

    def watched_reset(lanes: GymnasiumLanes, seed: int) -> Any:
        shown[id(lanes)] = reset(lanes, seed)
        return shown[id(lanes)]

    def watched_send(lanes: GymnasiumLanes, actions: np.ndarray) -> None:
        step = shown[id(lanes)]
        found.extend(step.legal[np.arange(len(actions)), actions][~step.done])
        send(lanes, actions)

    def watched_receive(lanes: GymnasiumLanes) -> Any:
        shown[id(lanes)] = receive(lanes)
        return shown[id(lanes)]

    monkeypatch.setattr(GymnasiumLanes, "reset", watched_reset)
    monkeypatch.setattr(GymnasiumLanes, "send", watched_send)
    monkeypatch.setattr(GymnasiumLanes, "receive", watched_receive)
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_agents_take_legal_actions_only(
    make_trainer: MakeTrainer, taken: list[bool], name: str
) -> None:
    run = {"evaluate_every": 1_800, "evaluate_episodes": 4}
    make_trainer(name, CONFIGS[name], total_steps=1_800, **run).run()
    resumed = make_trainer(name, CONFIGS[name], total_steps=2_600, **run)
    assert resumed.agent_steps == 1_800
    assert resumed.run() == "finished"
    assert len(taken) > 2_600 and all(taken)


def test_a_replay_without_masks_is_refused_in_one_line(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("dqn", CONFIGS["dqn"], total_steps=400, evaluate_every=0)
    trainer.run()
    state = checkpoint.load(trainer.folder.checkpoints).state
    del state["replay"]["form"]["columns"], state["replay"]["columns"]["legal"]  # as it once was
    del state["tick"]["step"]["legal"], state["tick"]["step"]["first"]
    again = make_trainer(
        "dqn", replace(CONFIGS["dqn"], lanes=4), "other", total_steps=800, evaluate_every=0
    )
    with pytest.raises(UserError, match=r"^the checkpoint's replay has columns \[\].*--fresh-rep"):
        again.restore(state)
    again.restore(state, fresh_replay=True)
    assert again.run() == "finished"
