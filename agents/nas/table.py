"""Scores from a table: what a training would have given, at once.

A query answers as one training would: with the accuracy of one of the design's seeds, drawn by the
child's number. The mean over seeds, and the test accuracy, are for the report alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents.nas.benchmarks import Table
from agents.nas.evaluator import Child, Result
from core.seeds import derived_seed
from tasks.problem import Stop

REGRET = "best mean accuracy of the table on this part, minus that of the design; 0 is the optimum"


class TableEvaluator:
    """An `agents.nas.evaluator.Evaluator` that looks its answers up."""

    def __init__(self, table: Table, seed: int) -> None:
        self.table = table
        self.seed = seed
        self._seeds = table.seeds
        self._answers: list[tuple[int, Result]] = []

    def start(self, children: Sequence[Child]) -> None:
        """Look them up."""
        self._answers = [(child.number, self._result(child)) for child in children]

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        """All results; there is nothing to wait for."""
        answers, self._answers = self._answers, []
        return answers

    def _result(self, child: Child) -> Result:
        row = self.table.row(child.tokens)
        metrics = {"score": self.query(row, child.number)}
        metrics |= {name: float(column[row]) for name, column in self.table.extra.items()}
        return Result("ok", metrics, float(self.table.seconds[row]))

    def query(self, row: int, number: int) -> float:
        """Accuracy of one of the row's seeds, drawn by the child's number."""
        seed = derived_seed(self.seed, "table", number) % int(self._seeds[row])
        return float(self.table.accuracy[row, seed])

    def test(self, child: Child, seeds: int, stop: Stop) -> Mapping[str, Any]:
        """Mean accuracies over the table's seeds, however many were asked for, and regrets.

        "test" and "test_regret" are missing where the table has no test accuracies.
        """
        row, table = self.table.row(child.tokens), self.table
        mean = table.mean
        found: dict[str, Any] = {
            "seeds": int(self._seeds[row]),
            "validation": float(mean[row]),
            "validation_regret": float(mean.max() - mean[row]),
            "regret_means": REGRET,
        }
        if table.test is not None:
            found["test"] = float(table.test[row])
            found["test_regret"] = float(np.max(table.test) - table.test[row])
        return found

    def close(self) -> None:
        """Forget what was not fetched."""
        self._answers = []
