"""The study of searchers on tables: what it reports after each evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.nas.benchmarks import Table
from core.seeds import derived_seed
from envs.architecture.spaces import make_space
from search.architecture.random import RandomSearch
from studies import nas_tables
from studies.nas_tables import SEARCHERS, Options, draw, search


def invented() -> Table:
    random = np.random.default_rng(1)
    accuracy = random.random((6_561, 3))
    return Table("it", make_space("macro"), accuracy, random.random(6_561), np.zeros(6_561), {})


@pytest.mark.parametrize("known", [True, False])
def test_what_is_reported_is_the_test_accuracy_of_the_best_by_validation(known: bool) -> None:
    table = invented()
    if not known:
        table = Table("it", table.space, table.accuracy, None, table.seconds, {})
    reported, sampled = search(table, RandomSearch, seed=3, evaluations=60, batch=4)

    searcher = RandomSearch(table.space, derived_seed(3, "searcher"))
    asked = [table.row(tokens) for _ in range(15) for tokens in searcher.ask(4)]
    np.testing.assert_array_equal(sampled, table.accuracy.mean(axis=1)[asked])
    best, leader = -1.0, -1
    for number, row in enumerate(asked):
        drawn = derived_seed(derived_seed(3, "evaluator"), "table", number) % 3
        if table.accuracy[row, drawn] > best:
            best, leader = table.accuracy[row, drawn], row
        expected = table.accuracy[leader].mean() if table.test is None else table.test[leader]
        assert reported[number] == pytest.approx(expected)


def test_every_searcher_runs_and_the_picture_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nas_tables, "_table", lambda name: invented())
    options = Options(runs=2, lstm_runs=2, evaluations=20)
    found = {name: nas_tables._job(("it", name, options)) for name in SEARCHERS}
    assert all(len(result["mean"]) == 20 for result in found.values())
    draw({"it": found}, tmp_path / "it.png")
    assert (tmp_path / "it.png").stat().st_size > 1_000
