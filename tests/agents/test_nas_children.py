"""Designs trained for real, on the digits: exact, apart from the test part, and cut by halving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from agents.nas import training
from agents.nas.child import Job, results
from agents.nas.children import TrainingEvaluator
from agents.nas.config import ChildrenConfig
from agents.nas.evaluator import Child, Result
from agents.nas.pools import InThisProcess
from agents.nas.training import ChildTrainer
from core.learner import Arithmetic
from envs.architecture.spaces import make_space

OPTIONS = ChildrenConfig(data="digits", child_epochs=0.5, child_learning_rate=0.01, child_shift=1)
SPACE = make_space("cnn", layers=2, heights=(1, 3), widths=(1, 3), filters=(4, 8))
DESIGN = SPACE.design((1, 1, 1, 1, 1, 0, 1))


def trainer(**options: Any) -> ChildTrainer:
    """A trainer of small children."""
    return ChildTrainer(replace(OPTIONS, **options), False, Arithmetic())


def result_of(made: ChildTrainer, job: Job) -> Result:
    """What comes of a child."""
    *_, result = results(made, job)
    assert result is not None
    return result


def test_a_score_is_the_validation_accuracy_and_depends_on_the_childs_seed_alone() -> None:
    made = trainer()
    first = result_of(made, Job(0, DESIGN, seed=7))
    assert first.status == "ok" and 0.15 < first.metrics["score"] < 1
    torch.manual_seed(99)
    part = made.problem.data.test
    made.problem.data = replace(made.problem.data, test=replace(part, pixels=0 * part.pixels))
    assert result_of(made, Job(5, DESIGN, seed=7)).metrics == first.metrics
    assert result_of(made, Job(0, DESIGN, seed=8)).metrics != first.metrics
    count = sum(p.numel() for p in made.network(DESIGN).parameters())
    assert first.metrics["parameters"] == count


class Broken(nn.Module):
    """A network that does something else than it should."""

    def __init__(self, does: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.does = does

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.does == "allocates":
            return torch.empty(1 << 50)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_bad_child_is_data(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(0, DESIGN, seed=7)
    assert result_of(trainer(child_learning_rate=1e30), job).status == "diverged"
    assert result_of(trainer(child_seconds=1e-9), job).status == "out of time"
    large = result_of(trainer(child_parameters=10), job)
    assert large.status == "too large" and "parameters" in large.message
    assert result_of(trainer(), Job(0, {"space": "nowhere"}, seed=7)).status == "failed"
    made = trainer()
    for does, status in (("allocates", "out of memory"), ("raises", "failed")):
        broken = Broken(does)
        monkeypatch.setattr(training, "build_designed", lambda *a, b=broken, **k: b)
        monkeypatch.setattr(
            made.problem.__class__, "loss", lambda self, network, batch: (network(batch), {})
        )
        assert result_of(made, job).status == status


def test_a_child_that_trains_on_equals_one_that_was_not_interrupted(tmp_path: Path) -> None:
    whole = result_of(trainer(), Job(0, DESIGN, seed=7)).metrics
    folder = str(tmp_path / "0")
    half = result_of(trainer(), Job(0, DESIGN, 7, 0.5, folder))
    assert half.metrics["epochs"] == 0.25 and half.metrics["score"] != whole["score"]
    again = trainer()
    assert result_of(again, Job(0, DESIGN, 7, 0.5, folder)).metrics == half.metrics
    assert result_of(again, Job(0, DESIGN, 7, 1.0, folder)).metrics == whole


class Told:
    """A pool that scores by a table and writes down what it was asked for."""

    def __init__(self, scores: Mapping[int, float]) -> None:
        self.scores = scores
        self.rungs: list[list[tuple[int, float]]] = []
        self.jobs: list[Job] = []

    def start(self, jobs: Sequence[Job]) -> None:
        self.rungs.append([(job.number, job.until) for job in jobs])
        self.jobs = list(jobs)

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        if not self.jobs:
            return []
        job = self.jobs.pop()
        score = self.scores[job.number]
        if score < 0:
            return [(job.number, Result("diverged"))]
        return [(job.number, Result("ok", {"score": score, "epochs": 8 * job.until}, seconds=2.0))]

    def close(self) -> None:
        self.jobs = []


def test_halving_keeps_the_better_part(tmp_path: Path) -> None:
    scores = {0: 0.5, 1: 0.9, 2: -1.0, 3: 0.7, 4: 0.7, 5: 0.1, 6: 0.2, 7: 0.3}
    told = Told(scores)
    options = ChildrenConfig(child_epochs=8.0, rungs=3, kept=0.5)
    evaluator = TrainingEvaluator(told, None, options, 1, tmp_path / "children")  # type: ignore[arg-type]
    evaluator.start([Child(n, (n,), {}) for n in range(8)])
    found: list[tuple[int, Result]] = []
    while not found:
        found = evaluator.poll(0.0)
    assert [[number for number, _ in rung] for rung in told.rungs] == [
        [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 3, 4], [1, 3],
    ]  # fmt: skip
    assert [rung[0][1] for rung in told.rungs] == [0.25, 0.5, 1.0]
    epochs = {number: result.metrics.get("epochs") for number, result in found}
    assert epochs == {0: 4, 1: 8, 2: None, 3: 8, 4: 4, 5: 2, 6: 2, 7: 2}
    seconds = {number: result.seconds for number, result in found}
    assert seconds == {0: 4.0, 1: 6.0, 2: 0.0, 3: 6.0, 4: 4.0, 5: 2.0, 6: 2.0, 7: 2.0}
    assert evaluator.poll(0.0) == []


def test_the_test_part_is_scored_from_scratch_with_every_seed(tmp_path: Path) -> None:
    made = trainer()
    evaluator = TrainingEvaluator(InThisProcess(made), made, OPTIONS, 1, tmp_path)
    child = Child(3, (), DESIGN)
    found = evaluator.test(child, 2, lambda: False)
    each = [scores["accuracy"] for scores in found["each"]]
    assert len(set(each)) == 2 and found["test_accuracy"] == pytest.approx(sum(each) / 2)
    part = made.problem.data.test
    made.problem.data = replace(made.problem.data, test=replace(part, pixels=0 * part.pixels))
    assert evaluator.test(child, 2, lambda: False)["test_accuracy"] != found["test_accuracy"]
