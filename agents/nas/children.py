"""Scores designs by training them: all of a batch to the end, or by successive halving.

With rungs (Jamieson and Talwalkar 2016, arXiv 1502.07943) all children train for a while, the
better part of them goes on, and so on. What was cut keeps the score it had. Children lie on the
disk between two rungs, so that nothing is trained twice when the search is killed; their scores are
told all at once, as a batch that is halved again must be the same batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.nas.child import Job
from agents.nas.config import ChildrenConfig
from agents.nas.evaluator import Child, Result
from agents.nas.pools import Pool
from agents.nas.training import ChildTrainer
from core.files import atomic
from core.seeds import derived_seed
from tasks.problem import Stop


def test_seeds(seed: int, child: Child, count: int) -> list[int]:
    """Of the trainings from scratch that test a child."""
    return [derived_seed(seed, "test", child.number, i) for i in range(count)]


class TrainingEvaluator:
    """An `agents.nas.evaluator.Evaluator` of real trainings."""

    def __init__(
        self, pool: Pool, trainer: ChildTrainer, options: ChildrenConfig, seed: int, folder: Path
    ) -> None:
        """Args:
        pool: where children are trained.
        trainer: for tests, which are made in this process.
        options: of the children.
        seed: of the run.
        folder: where children lie between two rungs.
        """
        self.pool = pool
        self.trainer = trainer
        self.options = options
        self.seed = seed
        self.folder = folder
        self._children: dict[int, Child] = {}
        self._results: dict[int, Result] = {}
        self._in_work: set[int] = set()
        self._rung = 0

    def start(self, children: Sequence[Child]) -> None:
        """Begin with the first rung."""
        self._children = {child.number: child for child in children}
        self._results, self._rung = {}, 0
        self._begin([child.number for child in children])

    def _begin(self, numbers: Sequence[int]) -> None:
        self._in_work = set(numbers)
        self.pool.start([self._job(self._children[number]) for number in numbers])

    def _job(self, child: Child) -> Job:
        is_kept = self.options.rungs > 1
        return Job(
            child.number,
            child.design,
            derived_seed(self.seed, "child", child.number),
            until=self.options.kept ** (self.options.rungs - 1 - self._rung),
            folder=str(self.folder / str(child.number)) if is_kept else "",
        )

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        """Results that came in; with rungs those of the whole batch, after the last one."""
        found = self.pool.poll(seconds)
        if self.options.rungs == 1:
            return found
        for number, result in found:
            before = self._results[number].seconds if number in self._results else 0.0
            self._results[number] = replace(result, seconds=before + result.seconds)
        self._in_work -= {number for number, _ in found}
        if self._in_work:
            return []
        better = self._better_part()
        if self._rung + 1 < self.options.rungs and better:
            self._rung += 1
            self._begin(better)
            return []
        atomic.remove(self.folder)
        results, self._results = list(self._results.items()), {}
        return results

    def _better_part(self) -> list[int]:
        """Of the children of the last rung those that go on to the next, in their order."""
        furthest = [n for n, r in self._results.items() if r.status == "ok" and self._is_here(r)]
        count = max(1, round(len(self._children) * self.options.kept ** (self._rung + 1)))
        scores = {number: self._results[number].metrics["score"] for number in furthest}
        # Of equals the lower number, whatever the order in which they came in.
        ranked = sorted(furthest, key=lambda number: (-scores[number], number))
        return sorted(ranked[:count])

    def _is_here(self, result: Result) -> bool:
        until = self.options.kept ** (self.options.rungs - 1 - self._rung)
        return bool(np.isclose(result.metrics["epochs"], self.options.child_epochs * until))

    def test(self, child: Child, seeds: int, stop: Stop) -> Mapping[str, Any] | None:
        """Train from scratch with so many seeds, in this process, and score on the test part.

        Returns:
            For each score "test_NAME", its mean, "test_NAME_deviation" over seeds, and "each";
            None where it was stopped.
        """
        tested = self.trainer.test(child.design, test_seeds(self.seed, child, seeds), stop)
        if tested is None:
            return None
        each = [dict(one.scores) for one in tested]
        found: dict[str, Any] = {"seeds": seeds, "each": each}
        for name in each[0]:
            values = [scores[name] for scores in each]
            found[f"test_{name}"] = float(np.mean(values))
            if seeds > 1:
                found[f"test_{name}_deviation"] = float(np.std(values, ddof=1))
        return found

    def close(self) -> None:
        """Give up what is in work."""
        self.pool.close()
