"""The trainer drives whatever advances; lanes are one way to do so."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.agent import Advanced, Assessment, Evaluate, Metrics, Task
from core.config import RunConfig
from core.evaluation import Episode
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.lane_agent import OnLanes
from core.lanes import Step
from core.learner import Arithmetic
from core.report.progress import Progress
from core.trainer import Trainer
from tests.core.scripted_lanes import ScriptedLanes


def task_scored_by(evaluate: Evaluate) -> Task:
    return Task("none", "", 1, evaluate, lambda score: None)


def nothing(agent_steps: int, seed: int, stop: object) -> None:
    """Stopped before it found anything."""


class Countdown:
    """Learns by counting: no lanes, an episode of score 3 in each advance of 5 steps."""

    def __init__(self, fails_at: int = -1, within_an_update: bool = False) -> None:
        self.weight = torch.zeros(1)
        self.sound = True
        self.closed = False
        self.fails_at, self.within_an_update = fails_at, within_an_update

    def advance(self, agent_steps: int) -> Advanced:
        self.sound = not self.within_an_update
        if agent_steps == self.fails_at:
            raise RuntimeError("a fault of ours")
        self.weight += 1
        self.sound = True
        return Advanced(5, [Episode(3.0, 5)])

    def metrics(self) -> Metrics:
        return Metrics({"weight": float(self.weight)})

    def needs_checkpoint(self) -> bool:
        return False

    def state_dict(self) -> dict[str, Any]:
        return {"network": {"weight": self.weight.clone()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.weight = state["network"]["weight"].clone()

    def start_from(self, network: Mapping[str, Any]) -> None:
        self.weight = network["weight"].clone()

    def close(self) -> None:
        self.closed = True


class Sum:
    """Acts on lanes by rule 0 and adds up what it observes."""

    def __init__(self) -> None:
        self.lanes = ScriptedLanes([[(3, 1.0)], [(4, 2.0)]])
        self.total = 0.0
        self.cut: Step | None = None

    def act(self, step: Step, agent_steps: int) -> np.ndarray:
        return np.zeros(2, np.int64)

    def learn(self, agent_steps: int) -> None:
        pass

    def observe(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        self.total += float(outcome.reward.sum())

    def lanes_restarted(self, last: Step) -> None:
        self.cut = last

    def metrics(self) -> Metrics:
        return Metrics()

    def needs_checkpoint(self) -> bool:
        return False

    def state_dict(self) -> dict[str, Any]:
        return {"sum": {"total": self.total}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.total = state["sum"]["total"]

    def start_from(self, network: Mapping[str, Any]) -> None:
        pass


def trainer_of(agent: Any, path: Path, task: Task | None = None, **run: Any) -> Trainer:
    path.mkdir(exist_ok=True)
    options = {"total_steps": 30, "evaluate_every": 0, "progress": False, **run}
    return Trainer(
        agent, task or task_scored_by(nothing), RunConfig(**options), RunFolder(path),
        identity={}, hyperparameters={}, progress=Progress(enabled=False), arithmetic=Arithmetic(),
    )  # fmt: skip


def test_an_agent_needs_no_lanes(tmp_path: Path) -> None:
    trainer = trainer_of(Countdown(), tmp_path / "run")
    assert trainer.run() == "finished"
    assert (trainer.agent_steps, float(trainer.agent.weight)) == (30, 6.0)
    rows = trainer.folder.read_jsonl("episodes.jsonl")
    assert [row["episode"] for row in rows] == [1, 2, 3, 4, 5, 6]
    again = trainer_of(Countdown(), tmp_path / "run", total_steps=40)
    again.restore(checkpoint.load(trainer.folder.checkpoints).state)
    assert again.run() == "finished"
    assert float(again.agent.weight) == 8.0
    assert trainer.folder.read_jsonl("episodes.jsonl")[-1]["episode"] == 8


@pytest.mark.parametrize(("within_an_update", "saved"), [(True, 0), (False, 15)])
def test_a_failure_within_an_update_saves_nothing(
    tmp_path: Path, within_an_update: bool, saved: int
) -> None:
    trainer = trainer_of(Countdown(15, within_an_update), tmp_path / "run")
    with pytest.raises(RuntimeError, match="a fault of ours"):
        trainer.run()
    assert checkpoint.load(trainer.folder.checkpoints).step == saved


def test_a_failed_evaluation_cuts_no_episode(tmp_path: Path) -> None:
    def fail(agent_steps: int, seed: int, stop: object) -> Assessment:
        raise RuntimeError("a fault of ours")

    task = task_scored_by(fail)
    agent = OnLanes(Sum(), seed=1)
    agent.lanes.restorable = True
    agent.lanes.state_dict = lambda: {"place": 5}  # type: ignore[method-assign]
    trainer = trainer_of(agent, tmp_path / "run", task, evaluate_every=10)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        trainer.run()
    loaded = checkpoint.load(trainer.folder.checkpoints)
    assert (loaded.step, loaded.state["lanes"]) == (10, {"place": 5})


@pytest.mark.parametrize("older", [False, True])
def test_lanes_that_cannot_be_restored_cut_their_episodes(tmp_path: Path, older: bool) -> None:
    first = trainer_of(OnLanes(Sum(), seed=1), tmp_path / "run", total_steps=4)
    first.run()
    state = checkpoint.load(first.folder.checkpoints).state
    if older:  # the newest step and the episodes were kept with the trainer's counters
        tick = state.pop("tick")
        state["trainer"] |= {"step": tick["step"]}
        state["trainer"]["episodes"] |= tick["episodes"]
    agent = OnLanes(Sum(), seed=1)
    resumed = trainer_of(agent, tmp_path / "run", total_steps=10)
    resumed.restore(state)
    assert agent.agent.cut is not None and agent.agent.cut.reward.tolist() == [1.0, 2.0]
    assert agent.agent.total == 6.0
    resumed.run()
    assert resumed.agent_steps == 10
    rows = resumed.folder.read_jsonl("episodes.jsonl")
    assert [(row["return"], row["length"]) for row in rows] == [(3.0, 3)]


def test_every_score_is_an_evaluation_and_its_best_is_marked(tmp_path: Path) -> None:
    seeds: list[int] = []

    def evaluate(agent_steps: int, seed: int, stop: object) -> Assessment | None:
        seeds.append(seed)
        loss = {10: 0.5, 20: 0.25, 30: 0.75}[agent_steps]
        return Assessment([loss], -loss, {"validation/loss": loss}, f"loss {loss}")

    trainer = trainer_of(Countdown(), tmp_path / "run", task_scored_by(evaluate), evaluate_every=10)
    trainer.run()
    rows = trainer.folder.read_jsonl("evaluations.jsonl")
    assert [row["validation/loss"] for row in rows] == [0.5, 0.25, 0.75]
    assert trainer.best_evaluation == -0.25
    best = checkpoint.best(trainer.folder.checkpoints)
    assert best is not None and checkpoint.load(best).step == 20
    assert len(set(seeds)) == 3


def test_an_evaluation_that_was_stopped_leaves_no_record(tmp_path: Path) -> None:
    trainer = trainer_of(Countdown(), tmp_path / "run", evaluate_every=10)
    assert trainer.run() == "finished"
    assert trainer.folder.read_jsonl("evaluations.jsonl") == []


def test_a_run_whose_last_evaluation_was_interrupted_is_not_finished(tmp_path: Path) -> None:
    def interrupted(agent_steps: int, seed: int, stop: Callable[[], bool]) -> Assessment | None:
        if not stop():  # a second one would end the process
            os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        return None

    path, run = tmp_path / "run", {"evaluate_every": 30}
    assert trainer_of(Countdown(), path, task_scored_by(interrupted), **run).run() == "stopped"
    again = trainer_of(
        Countdown(), path, task_scored_by(lambda *_: Assessment([1.0], 1.0, {}, "")), **run
    )
    again.restore(checkpoint.load(again.folder.checkpoints).state)
    assert again.run() == "finished" and again.last_evaluation == 1.0


def test_the_first_minutes_are_saved_more_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At half a minute an advance: after 30, 60, 120 and 240 seconds, then every 300."""
    agent = Countdown()
    advance, now = agent.advance, 0.0

    def half_a_minute(agent_steps: int) -> Advanced:
        nonlocal now
        now += 30
        return advance(agent_steps)

    monkeypatch.setattr("core.trainer.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(agent, "advance", half_a_minute)
    trainer = trainer_of(agent, tmp_path / "run", total_steps=300)
    saved: list[float] = []
    save = trainer.save

    def watched(best_score: float | None = None) -> Path:
        saved.append(now)
        return save(best_score)

    monkeypatch.setattr(trainer, "save", watched)
    trainer.run()
    assert saved == [0, 30, 90, 210, 450, 750, 1050, 1350, 1650, 1800]
