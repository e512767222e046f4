"""What the studies of image networks share: a cell is a network of the registry, trained once.

{labels ..., "rate": 0.1, "seed": 1,            told while it runs, and kept with its scores
 "network": {"name": "resnet20", "blocks": 9},  of networks.registry
 "optimiser": {"name": "sgd", "momentum": 0.9}, of core.optimisers
 "task": {...}}                                 as `task` makes it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

from core.config import free
from studies.grid import Cell, Found, GridOptions, key, run_grid

SGD = {"name": "sgd", "epsilon": 0.0, "momentum": 0.9}
Training = Mapping[str, Any]
"""A cell's labels and what was found for it, in one record."""


@dataclass(frozen=True)
class ImageOptions(GridOptions):
    """What a study of image networks can be told."""

    seeds: int = free(1, at_least=1, at_most=100)
    """Trainings of each network; only one with --quick."""
    data: str = "fashion-mnist"
    """Ten classes of small images."""
    device: str = "cpu"
    """Where they are trained: cpu or cuda."""

    @property
    def each_seed(self) -> range:
        """1, 2, ..."""
        return range(1, 2 if self.quick else self.seeds + 1)


def task(options: ImageOptions, **settings: Any) -> dict[str, Any]:
    """The part of a cell that all trainings of a study have in common: train, side, epochs,
    batch_size must be said; test images, schedule, and curves (scores after each epoch) may."""
    shared = {"data": options.data, "device": options.device, "test": 1, "schedule": "constant"}
    return {**shared, "curves": False, **settings}


def compute(cell: Cell) -> Found:
    """Train a network; loss and error over the last epoch as they were met (the loss is nan after
    a divergence), then the errors on all training images and on the test images."""
    return train_cell(cell)


def train_cell(cell: Cell, watch: Callable[[Any, Any], Any] | None = None) -> Found:
    """As `compute`, with what `watch(network, test part)` says before and after each epoch."""
    import torch

    from core.optimisers import build_optimiser
    from networks.registry import build_network
    from studies.training import evaluate, load_parts, train

    began, of = time.process_time(), cell["task"]
    part, test = load_parts(of["data"], of["train"], of["test"], of["device"], of["side"])
    torch.manual_seed(cell["seed"])
    settings = {"in_channels": part.images.shape[1], **cell["network"]}
    network = build_network(settings.pop("name"), **settings).to(of["device"])
    chosen = dict(cell["optimiser"])
    optimiser = build_optimiser(
        chosen.pop("name"), network.parameters(), cell["rate"], chosen.pop("epsilon"), **chosen
    )
    curves: dict[str, list[Any]] = {"training": [], "test": [], "watched": []}
    if watch:
        curves["watched"].append(watch(network, test))
    for score in train(
        network, optimiser, part, of["epochs"], of["batch_size"], cell["seed"], of["schedule"]
    ):
        if of["curves"]:
            curves["training"].append(score.error)
            curves["test"].append(evaluate(network, test).error)
        if watch:
            curves["watched"].append(watch(network, test))
    return {
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "loss": score.loss,
        "error": score.error,
        "fitted_error": evaluate(network, part).error,
        "test_error": evaluate(network, test).error,
        **{name: curve for name, curve in curves.items() if curve},
        "processor_seconds": round(time.process_time() - began, 1),
    }


def trainings(
    options: ImageOptions, cells: Sequence[Cell], run: Callable[[Cell], Found] = compute
) -> list[dict[str, Any]]:
    """Compute what is missing; a record for each cell, in their order."""
    found = run_grid(run, cells, Path(options.out), options.processes)
    return [
        {name: value for name, value in cell.items() if not isinstance(value, dict)}
        | found[key(cell)]
        for cell in cells
    ]


def mean(records: Iterable[Training], score: str, **labels: Any) -> float:
    """Of a score over the trainings with these labels; infinite if one of them diverged."""
    found = [each[score] for each in records if labels.items() <= each.items()]
    finite = [value for value in found if value is not None and isfinite(value)]
    return sum(finite) / len(finite) if len(finite) == len(found) else inf


def labels_of(records: Iterable[Training], name: str) -> list[Any]:
    """The values of a label, each once, in the order in which they were tried."""
    return list(dict.fromkeys(each[name] for each in records))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown, with an empty line after it."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]
