"""How fast do searchers find good cells? All of them on NAS-Bench-201, two hundred runs each.

A query gives one seed's validation accuracy, as a training would. What is reported is the mean test
accuracy of the design that was best by validation so far, or, where the file of test accuracies is
not on this machine, its mean validation accuracy (`agents/nas/benchmarks.py` says what is needed).

    python -m studies.nas_tables
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import tyro

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.nas.benchmarks import Table, load_table
from agents.nas.controller import Controller
from agents.nas.controller_config import ControllerConfig
from agents.nas.table import TableEvaluator
from core.seeds import derived_seed
from envs.architecture.space import Space
from search.architecture.evolution import RegularisedEvolution
from search.architecture.local import LocalSearch
from search.architecture.random import RandomSearch
from search.architecture.searcher import Searcher
from studies.training import Clock, new_figure, save_figure, write_results

COLUMNS = (50, 100, 150, 200, 300, 500)
"""Evaluations at which the table reports."""
TICKS = (20, 50, 100, 200, 500)
"""Evaluations that the picture names."""


def _controller(**options: Any) -> Callable[[Space, int], Searcher]:
    return lambda space, seed: Controller(ControllerConfig(**options), space, seed)


RIVALS: dict[str, Callable[[Space, int], Searcher]] = {
    "random": RandomSearch,
    "evolution P10 S3": lambda space, seed: RegularisedEvolution(space, seed, 10, 3),
    "evolution P10 S10": lambda space, seed: RegularisedEvolution(space, seed, 10, 10),
    "local search": LocalSearch,
}
CONTROLLERS = {
    "table, rate .01": _controller(policy="table", learning_rate=0.01),
    "table, rate .1": _controller(policy="table", learning_rate=0.1),
    "table, ranks": _controller(policy="table", learning_rate=0.07, ranks=10),
    "table, ranks, PPO": _controller(
        policy="table", algorithm="ppo", learning_rate=0.05, ranks=10, ppo_batches=5, ppo_steps=1
    ),
}
LSTM = {
    "LSTM, ranks": _controller(policy="lstm", learning_rate=0.006, ranks=10),
}
SEARCHERS = {**RIVALS, **CONTROLLERS, **LSTM}


@dataclass(frozen=True)
class Options:
    """Test accuracy of the best design by validation, against evaluations."""

    tables: tuple[str, ...] = ("nb201-cifar10", "nb201-cifar100", "nb201-imagenet16")
    searchers: tuple[str, ...] = tuple(SEARCHERS)
    runs: int = 200
    """Of each searcher on each table; bands are their middle halves."""
    lstm_runs: int = 20
    """Of the LSTM, which takes about thirty times as long as a table."""
    evaluations: int = 500
    batch: int = 1
    """Designs asked for at once."""
    processes: int = 2
    out: Path = Path("runs/studies/nas-tables.json")
    """Where the results go; the picture lies beside it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Search, print, write, draw."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    clock = Clock()
    columns = [column for column in COLUMNS if column <= options.evaluations]
    found: dict[str, dict[str, Any]] = {table: {} for table in options.tables}
    jobs = list(product(options.tables, options.searchers))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=spawn) as pool:
        arguments = [(*job, options) for job in jobs]
        for (table, searcher), result in zip(jobs, pool.map(_job, arguments), strict=True):
            found[table][searcher] = result
            print(f"{table:<17}{row(searcher, result, columns)}", flush=True)
    write_results(options.out, options, clock, {"columns": columns, "tables": found})
    draw(found, options.out.with_suffix(".png"))


def _job(arguments: tuple[str, str, Options]) -> dict[str, Any]:
    name, searcher, options = arguments
    table = _table(name)
    runs = options.lstm_runs if searcher in LSTM else options.runs
    started = process_time()
    pairs = [
        search(table, SEARCHERS[searcher], seed, options.evaluations, options.batch)
        for seed in range(runs)
    ]
    best, sampled = (100 * np.array(part) for part in zip(*pairs, strict=True))
    low, high = np.quantile(best, [0.25, 0.75], axis=0)
    return {
        "runs": runs,
        "reports": "validation" if table.test is None else "test",
        "mean": best.mean(axis=0).round(3).tolist(),
        "deviation": best.std(axis=0, ddof=1).round(3).tolist(),
        "low": low.round(3).tolist(),
        "high": high.round(3).tolist(),
        "sampled": sampled.mean(axis=0).round(3).tolist(),
        "processor_seconds": round(process_time() - started, 1),
    }


@cache
def _table(name: str) -> Table:
    """Once for each process."""
    import torch

    torch.set_num_threads(1)
    return load_table(name)


def search(
    table: Table,
    make: Callable[[Space, int], Searcher],
    seed: int,
    evaluations: int,
    batch: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """One run of a searcher on a table.

    Returns:
        After each evaluation, the reported accuracy of the best by validation so far; and the mean
        validation accuracy of each design that was asked for; fractions, float64 [evaluations].
    """
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


def row(searcher: str, result: Mapping[str, Any], columns: Sequence[int]) -> str:
    """Mean and standard deviation at the table's columns, and what the policy samples at last."""
    cells = [f"{result['mean'][n - 1]:.2f}±{result['deviation'][n - 1]:.2f}" for n in columns]
    last = np.mean(result["sampled"][-50:])
    return (
        f"{searcher:<19}" + "".join(f"{cell:>12}" for cell in cells) + f"   samples {last:.2f}"
        f"   {result['runs']} runs, {result['processor_seconds']:.0f} s"
    )


def draw(found: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """A panel for each table: means as lines, the middle halves of the runs as bands."""
    figure, axes = new_figure(len(found), width=4.2 * len(found), height=3.9)
    colours = ["#000000", "#0072B2", "#56B4E9", "#999999", "#F0E442", "#E69F00", "#D55E00",
               "#CC79A7", "#009E73"]  # fmt: skip
    for ax, (table, results) in zip(axes, found.items(), strict=True):
        for colour, (searcher, result) in zip(colours, results.items(), strict=False):
            evaluations = np.arange(1, len(result["mean"]) + 1)
            ax.plot(evaluations, result["mean"], color=colour, label=searcher, linewidth=1.4)
            ax.fill_between(
                evaluations, result["low"], result["high"], color=colour, alpha=0.12, linewidth=0
            )
        top = max(max(result["mean"]) for result in results.values())
        bottom = min(result["mean"][:20][-1] for result in results.values())
        kind = next(iter(results.values()))["reports"]
        ax.set(title=table, xlabel="evaluations", ylabel=f"{kind} accuracy, percent")
        ax.set(xscale="log", xlim=(20, None), ylim=(bottom, top + 0.1 * (top - bottom)))
        ax.set_xticks(TICKS, labels=[str(tick) for tick in TICKS])
        ax.minorticks_off()
    axes[0].legend(fontsize=7, loc="lower right")
    save_figure(figure, path)


if __name__ == "__main__":
    main()
