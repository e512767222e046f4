"""Acting and learning at once: what each sees is settled by the boundaries, whoever is faster."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.agent import Metrics, Task
from core.concurrent import OnLanesConcurrently, on_lanes
from core.config import RunConfig
from core.errors import UserError
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.lane_agent import OnLanes
from core.lanes import Step
from core.learner import Arithmetic, DivergedError
from core.report.progress import Progress
from core.trainer import Trainer
from tests.core.scripted_lanes import ScriptedLanes


class Counter:
    """Counts the rewards that were committed; notes what learning and acting know of them."""

    def __init__(self) -> None:
        self.lanes = ScriptedLanes([[(3, 1.0)], [(4, 2.0)]])
        self.observed = self.committed = self.cut = 0.0
        self.learned: list[tuple[int, float]] = []
        self.acted: list[tuple[int, float]] = []

    def act(self, step: Step, agent_steps: int) -> np.ndarray:
        self.acted.append((agent_steps, self.committed))
        return np.zeros(2, np.int64)

    def learn(self, agent_steps: int) -> None:
        self.learned.append((agent_steps, self.committed))

    def observe(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        self.observed += float(outcome.reward.sum())

    def commit(self) -> None:
        self.committed += self.observed
        self.observed = 0.0

    def lanes_restarted(self, last: Step) -> None:
        self.cut = float(last.reward.sum())

    def metrics(self) -> Metrics:
        return Metrics()

    def needs_checkpoint(self) -> bool:
        return False

    def state_dict(self) -> dict[str, Any]:
        return {"count": {"committed": self.committed, "learned": len(self.learned)}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.committed = state["count"]["committed"]

    def start_from(self, network: Mapping[str, Any]) -> None:
        pass


def trainer_of(agent: OnLanes, path: Path) -> Trainer:
    path.mkdir(exist_ok=True)
    return Trainer(
        agent, Task("none", "", 1, lambda *_: None, lambda score: None),
        RunConfig(total_steps=24, evaluate_every=0, progress=False), RunFolder(path),
        identity={}, hyperparameters={}, progress=Progress(enabled=False), arithmetic=Arithmetic(),
    )  # fmt: skip


def concurrent(agent: Counter, ticks: int = 3) -> OnLanesConcurrently:
    return OnLanesConcurrently(agent, seed=1, ticks=ticks, device="cpu")


def test_no_ticks_is_the_plain_tick() -> None:
    assert type(on_lanes(Counter(), 1, 0, "cpu")) is OnLanes
    assert type(on_lanes(Counter(), 1, 2, "cpu")) is OnLanesConcurrently


def test_acting_and_learning_know_what_was_committed_before_the_period(tmp_path: Path) -> None:
    agent = Counter()
    trainer = trainer_of(concurrent(agent), tmp_path / "run")
    assert trainer.run() == "finished"
    assert trainer.agent_steps == 24
    # Rewards come 3 times and then once not in lane 0, 4 times and then once not in lane 1.
    at_boundaries = [0.0, 9.0, 15.0, 23.0]
    assert agent.learned == list(zip([0, 6, 12, 18], at_boundaries, strict=True))
    ticks = [known for known in at_boundaries for _ in range(3)]
    assert agent.acted == list(zip(range(0, 24, 2), ticks, strict=True))
    rows = trainer.folder.read_jsonl("episodes.jsonl")
    assert [(row["return"], row["length"]) for row in rows][:2] == [(3.0, 3), (8.0, 4)]
    trainer.agent.close()


def test_both_are_at_work_at_the_same_time() -> None:
    """Each waits for the other, so one after the other would wait for ever."""
    agent = Counter()
    advancing = concurrent(agent, ticks=1)
    advancing.advance(0)  # the first period is for what is compiled at first calls
    both = threading.Barrier(2)
    agent.act = lambda step, steps: both.wait() * np.zeros(2, np.int64)  # type: ignore[method-assign]
    agent.learn = lambda steps: both.wait()  # type: ignore[assignment, method-assign, return-value]
    advancing.advance(2)
    advancing.close()


def test_a_failure_of_the_lanes_leaves_the_boundary_before_and_the_updates(tmp_path: Path) -> None:
    agent, calls = Counter(), 0
    receive = agent.lanes.receive

    def fail() -> Step:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise UserError("lane 0, step 5: it fell over")
        return receive()

    agent.lanes.receive = fail  # type: ignore[method-assign]
    trainer = trainer_of(concurrent(agent), tmp_path / "run")
    with pytest.raises(UserError, match="lane 0, step 5: it fell over"):
        trainer.run()
    trainer.agent.close()
    assert trainer.folder.read_status()["state"] == "failed"
    loaded = checkpoint.load(trainer.folder.checkpoints)
    assert loaded.step == 6
    assert loaded.state["count"] == {"committed": 9.0, "learned": 2}

    again = Counter()
    resumed = trainer_of(concurrent(again), tmp_path / "run")
    resumed.restore(loaded.state)
    assert again.cut == 3.0, "the newest step is the one at the boundary"
    assert resumed.run() == "finished"
    resumed.agent.close()


@pytest.mark.parametrize("fault", [DivergedError("the loss became nan"), RuntimeError("a fault")])
def test_a_failure_of_learning_ends_the_period_and_saves_nothing(
    tmp_path: Path, fault: Exception
) -> None:
    agent = Counter()
    advancing = concurrent(agent)
    trainer = trainer_of(advancing, tmp_path / "run")

    def learn(agent_steps: int) -> None:
        if agent_steps:
            raise fault
        advancing.ticks = 1 << 60  # the next period would never end

    agent.learn = learn  # type: ignore[method-assign]
    with pytest.raises(type(fault), match=str(fault)):
        trainer.run()
    advancing.close()
    state = "diverged" if isinstance(fault, DivergedError) else "failed"
    assert trainer.folder.read_status()["state"] == state
    assert checkpoint.load(trainer.folder.checkpoints).step == 0
