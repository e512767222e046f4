"""The study of searchers on tables: what it reports after each evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.nas.benchmarks import Table
from commands.study import main
from core.errors import UserError
from core.seeds import derived_seed
from envs.architecture.spaces import make_space
from search.architecture.random import RandomSearch
from studies import nas_tables
from studies.nas_tables import SEARCHERS, search


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


def test_every_searcher_runs_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nas_tables, "_table", lambda name: invented())
    argv = ["nas-tables", "--table", "it", "--runs", "2", "--lstm-runs", "2"]
    argv += ["--evaluations", "50", "--processes", "1", "--out", str(tmp_path)]
    assert main(argv) == 0
    assert (tmp_path / "figure.png").stat().st_size > 1_000
    lines = (tmp_path / "page.md").read_text("utf-8").splitlines()
    assert "| it, test | runs | 50 | validation of the last 50 sampled |" in lines
    found = json.loads((tmp_path / "results.json").read_bytes())["tables"]["it"]
    assert list(found) == list(SEARCHERS)
    table = invented()
    runs = [search(table, RandomSearch, seed, evaluations=50)[0] for seed in range(2)]
    np.testing.assert_allclose(found["random"]["mean"], 100 * np.mean(runs, axis=0), atol=6e-4)
    # Every searcher is another one; they begin alike only where both are uniform at first.
    assert len({str(each["sampled"]) for each in found.values()}) == len(SEARCHERS)


def test_a_searcher_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no searcher has 'gradient' in its name: random; "):
        main(["nas-tables", "--only", "gradient", "--out", str(tmp_path)])
