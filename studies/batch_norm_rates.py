"""How high a learning rate does a network bear, with and without batch normalisation?

Ioffe & Szegedy 2015 (arXiv 1502.03167, section 3.3 and figure 2): what a normalised layer gives
back does not depend on the scale of its weights, so that learning rates can be many times higher;
Inception without it failed at five times its rate. Here two kinds of small networks:

    plain   14 layers of ResNet's form for small images without shortcuts; all but the classifier
            are normalised, or none
    vgg     a narrow VGG-11; its two hidden layers are not normalised in either form, as published

    tengen study batch-norm-rates
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.image_study import SGD, ImageOptions, labels_of, mean, table, task, trainings

TITLE = "Batch normalisation and learning rates"
KINDS = {"without": "none", "with": "batch"}
"""Names of networks.blocks.normalisation."""
NETWORKS = {
    "plain": {"name": "plain20", "blocks": 2, "widths": (8, 16, 32)},
    "vgg": {"name": "vgg11", "num_classes": 10, "widths": (8, 16, 32, 64, 64), "hidden": 128,
            "dropout": 0.0},
}  # fmt: skip
TRAINS_FROM = 0.5
"""Training accuracy from which a network counts as one that trains; guessing has 0.1."""


@dataclass(frozen=True)
class Options(ImageOptions):
    """Final training accuracy against the learning rate, with and without batch normalisation."""

    out: str = "runs/studies/batch-norm-rates"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """All trainings, and the highest rate at which each kind trains, as the mean of its seeds."""
    quick = options.quick
    tasks = {
        "plain": task(options, train=2_000 if quick else 5_000, side=14, epochs=4, batch_size=64),
        "vgg": task(options, train=3_000, side=32, epochs=4, batch_size=64),  # five pools need 32
    }
    found = trainings(options, [
        {"kind": kind, "normalised": normalised, "rate": rate, "seed": seed,
         "network": {**NETWORKS[kind], "normalisation": layer}, "optimiser": SGD,
         "task": tasks[kind]}
        for kind in (("plain",) if quick else NETWORKS)
        for seed in options.each_seed
        for rate in ((0.01, 0.1, 1.0) if quick else (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0))
        for normalised, layer in KINDS.items()
    ])  # fmt: skip
    highest = {
        f"{kind}, {normalised}": max(
            (rate for rate in labels_of(found, "rate")
             if accuracy(found, kind, normalised, rate) >= TRAINS_FROM), default=None)
        for kind in labels_of(found, "kind") for normalised in KINDS
    }  # fmt: skip
    return {"highest_rate": highest, "trainings": found}


def accuracy(found: list[dict[str, Any]], kind: str, normalised: str, rate: float) -> float:
    """On the images that it was trained with, after training, with statistics averaged in it."""
    return 1 - mean(found, "fitted_error", kind=kind, normalised=normalised, rate=rate)


def page(results: Mapping[str, Any]) -> list[str]:
    """Accuracy at each rate, and the highest that trains."""
    found, highest = results["trainings"], results["highest_rate"]
    columns = [(kind, normalised) for kind in labels_of(found, "kind") for normalised in KINDS]
    rows = [[f"{rate:g}", *(f"{accuracy(found, *column, rate):.1%}" for column in columns)]
            for rate in labels_of(found, "rate")]  # fmt: skip
    last = ["highest that trains", *(f"{rate or 'none'}" for rate in highest.values())]
    return table(["learning rate", *highest], [*rows, last])[:-1]


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Accuracy against the rate: a dot for each seed, a line through their means."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    found = results["trainings"]
    rates, kinds = labels_of(found, "rate"), labels_of(found, "kind")
    figure, axes = new_figure(len(kinds), width=5.0 * len(kinds))
    for ax, kind in zip(axes, kinds, strict=True):
        for colour, normalised in zip(COLOURS, KINDS, strict=False):
            for each in found:
                if each["kind"] == kind and each["normalised"] == normalised:
                    right = 100 - 100 * each["fitted_error"]
                    ax.plot(each["rate"], right, ".", color=colour, alpha=0.4)
            ax.plot(rates, [100 * accuracy(found, kind, normalised, rate) for rate in rates], "o-",
                    color=colour, label=f"{normalised} batch normalisation")  # fmt: skip
        ax.axhline(10, color="#777777", linewidth=0.9, linestyle=(0, (4, 3)))
        ax.annotate("guessing", (rates[0], 11), fontsize=8, color="#555555")
        ax.set(title=f"{kind} network", xlabel="learning rate", xscale="log", ylim=(0, 105),
               ylabel="training accuracy, percent")  # fmt: skip
        ax.grid(axis="y", alpha=0.25)
        ax.legend(frameon=False, fontsize=9, loc="upper right")
    save_figure(figure, path)
