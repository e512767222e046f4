"""How fast do searchers find good cells? All of them on NAS-Bench-201, many runs each.

A query gives one seed's validation accuracy, as a training would. What is reported is the mean test
accuracy of the design that was best by validation so far, or, where the file of test accuracies is
not on this machine, its mean validation accuracy (`agents/nas/benchmarks.py` says what is needed).

    tengen study nas-tables

A cell is all runs of one searcher on one table. Legend: R runs, E evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import free, resolve
from core.errors import UserError
from core.seeds import derived_seed
from studies.grid import Cell, Found, key, run_grid

if TYPE_CHECKING:
    from agents.nas.benchmarks import Table
    from envs.architecture.space import Space
    from search.architecture.searcher import Searcher

TITLE = "Searchers on NAS-Bench-201"
TABLES = ("nb201-cifar10", "nb201-cifar100", "nb201-imagenet16")
COLUMNS = (50, 100, 150, 200, 300, 500)
"""Evaluations at which the page reports."""
TICKS = (20, 50, 100, 200, 500)
"""Evaluations that the picture names."""


def _controller(**options: Any) -> dict[str, Any]:
    return {"searcher": "controller", "controller": options}


SEARCHERS: dict[str, Mapping[str, Any]] = {
    "random": {"searcher": "random"},
    "evolution P10 S3": {"searcher": "evolution", "population": 10, "tournament": 3},
    "evolution P10 S10": {"searcher": "evolution", "population": 10, "tournament": 10},
    "local search": {"searcher": "local"},
    "table, rate .01": _controller(policy="table", learning_rate=0.01),
    "table, rate .1": _controller(policy="table", learning_rate=0.1),
    "table, ranks": _controller(policy="table", learning_rate=0.07, ranks=10.0),
    "table, ranks, PPO": _controller(
        policy="table", algorithm="ppo", learning_rate=0.05, ranks=10.0, ppo_batches=5, ppo_steps=1
    ),
    "LSTM, ranks": _controller(learning_rate=0.006, ranks=10.0),
    "LSTM, own softmaxes": _controller(learning_rate=0.003, ranks=10.0, tied=False, entropy=0.01),
}
"""By name: options of `tengen train nas` other than its defaults."""


@dataclass(frozen=True)
class Options:
    """Accuracy of the best design by validation, against evaluations."""

    table: str = ""
    """One of agents.nas.benchmarks; without: the three of NAS-Bench-201."""
    only: str = ""
    """Searchers that have this in their names, such as LSTM; without: all."""
    quick: bool = False
    """20 runs of 200 evaluations on CIFAR-10, 2 of an LSTM: a minute."""
    runs: int = free(200, at_least=2)
    """Of each searcher on each table; bands are their middle halves."""
    lstm_runs: int = free(40, at_least=2)
    """Of an LSTM, which takes about thirty times as long as a table."""
    evaluations: int = free(500, at_least=50)
    """Of a run."""
    processes: int = free(0, at_least=0)
    """Cells at once; 0: one on each core."""
    out: str = "runs/studies/nas-tables"
    """Folder of journal, results.json, figure.png and page.md."""

    def validate(self) -> None:
        """Raise UserError for a searcher that is not here."""
        if not self.chosen:
            raise UserError(f"no searcher has {self.only!r} in its name: {'; '.join(SEARCHERS)}")

    @property
    def chosen(self) -> list[str]:
        """Names of searchers."""
        return [name for name in SEARCHERS if self.only in name]


def run(options: Options) -> dict[str, Any]:
    """All searches, or what is missing of them. Raises UserError where a table is not here."""
    quick = options.quick
    tables = (options.table,) if options.table else TABLES[:1] if quick else TABLES
    runs, lstm_runs = (20, 2) if quick else (options.runs, options.lstm_runs)
    found: dict[str, dict[str, Any]] = {}
    cells = [
        {"table": table, "reports": "validation" if _table(table).test is None else "test",
         "name": name, "searcher": SEARCHERS[name],
         "runs": lstm_runs if name.startswith("LSTM") else runs,
         "evaluations": 200 if quick else options.evaluations}
        for table in tables
        for name in options.chosen
    ]  # fmt: skip
    results = run_grid(compute, cells, Path(options.out), options.processes)
    for cell in cells:
        both = {"runs": cell["runs"], "reports": cell["reports"], **results[key(cell)]}
        found.setdefault(str(cell["table"]), {})[str(cell["name"])] = both
    return {"tables": found}


def compute(cell: Cell) -> Found:
    """Search so often; mean, deviation and quartiles of what is reported, and the mean validation
    accuracy of what was asked for; percent, each [E]."""
    from agents.nas.build import make_searcher
    from agents.nas.config import NASConfig

    config = resolve(NASConfig, cell["searcher"])

    def make(space: Space, seed: int) -> Searcher:
        return make_searcher(config, space, seed)

    table = _table(cell["table"])
    pairs = [search(table, make, seed, cell["evaluations"]) for seed in range(cell["runs"])]
    best, sampled = (100 * np.array(part) for part in zip(*pairs, strict=True))  # [R, E]
    low, high = np.quantile(best, [0.25, 0.75], axis=0)
    curves = {"mean": best.mean(axis=0), "deviation": best.std(axis=0, ddof=1), "low": low,
              "high": high, "sampled": sampled.mean(axis=0)}  # fmt: skip
    return {name: curve.round(3).tolist() for name, curve in curves.items()}


@cache
def _table(name: str) -> Table:
    """Once for each process."""
    from agents.nas.benchmarks import load_table

    return load_table(name)


def search(
    table: Table,
    make: Callable[[Space, int], Searcher],
    seed: int,
    evaluations: int,
    batch: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """One run of a searcher on a table, which is asked for so many designs at once.

    Returns:
        After each evaluation, the reported accuracy of the best by validation so far; and the mean
        validation accuracy of each design that was asked for; fractions, float64 [E].
    """
    from agents.nas.table import TableEvaluator

    searcher = make(table.space, derived_seed(seed, "searcher"))
    evaluator = TableEvaluator(table, derived_seed(seed, "evaluator"))
    mean = table.mean
    reported = mean if table.test is None else table.test
    rows: list[int] = []
    scores: list[float] = []
    while len(rows) < evaluations:
        designs = searcher.ask(batch)
        here = [table.row(tokens) for tokens in designs]
        rewards = [evaluator.query(row, len(rows) + i) for i, row in enumerate(here)]
        searcher.tell(designs, np.array(rewards))
        rows += here
        scores += rewards
    best = np.maximum.accumulate(scores[:evaluations])
    leaders = np.flatnonzero(np.r_[True, best[1:] > best[:-1]])  # evaluations with a new best
    leader = leaders[np.searchsorted(leaders, np.arange(evaluations), side="right") - 1]
    return reported[np.array(rows)[leader]], mean[np.array(rows[:evaluations])]


def page(results: Mapping[str, Any]) -> list[str]:
    """For each table: means and deviations, and what is sampled at last."""
    return [line for item in results["tables"].items() for line in _part(*item)]


def _part(table: str, found: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    first = next(iter(found.values()))
    columns = [column for column in COLUMNS if column <= len(first["mean"])]
    heads = [f"{table}, {first['reports']}", "runs", *columns, "validation of the last 50 sampled"]
    yield f"| {' | '.join(map(str, heads))} |"
    yield "|---" * len(heads) + "|"
    for name, each in found.items():
        cells = [f"{each['mean'][n - 1]:.2f} ± {each['deviation'][n - 1]:.2f}" for n in columns]
        last = np.mean(each["sampled"][-50:])
        yield f"| {name} | {each['runs']} | {' | '.join(cells)} | {last:.2f} |"
    yield ""


def draw(results: Mapping[str, Any], path: Path) -> None:
    """A panel for each table: means as lines, the middle halves of the runs as bands."""
    from studies.training import new_figure, save_figure

    found = results["tables"]
    figure, axes = new_figure(len(found), width=4.2 * len(found), height=3.9)
    colours = ["#000000", "#0072B2", "#56B4E9", "#999999", "#F0E442", "#E69F00", "#D55E00",
               "#CC79A7", "#009E73", "#882255"]  # fmt: skip
    for ax, (table, searchers) in zip(axes, found.items(), strict=True):
        for colour, (name, each) in zip(colours, searchers.items(), strict=False):
            evaluations = np.arange(1, len(each["mean"]) + 1)
            ax.plot(evaluations, each["mean"], color=colour, label=name, linewidth=1.4)
            ax.fill_between(
                evaluations, each["low"], each["high"], color=colour, alpha=0.12, linewidth=0
            )
        top = max(max(each["mean"]) for each in searchers.values())
        bottom = min(each["mean"][19] for each in searchers.values())
        kind = next(iter(searchers.values()))["reports"]
        ax.set(title=table, xlabel="evaluations", ylabel=f"{kind} accuracy, percent")
        ax.set(xscale="log", xlim=(20, None), ylim=(bottom, top + 0.1 * (top - bottom)))
        ax.set_xticks(TICKS, labels=[str(tick) for tick in TICKS])
        ax.minorticks_off()
    axes[0].legend(fontsize=7, loc="lower right")
    save_figure(figure, path)
