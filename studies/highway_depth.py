"""How deep can a network be and still learn? Plain and highway layers of about equal parameters.

Srivastava et al. 2015 (arXiv 1505.00387, figure 1): fully connected networks of 10 to 100 layers on
MNIST. Plain ones learn less the deeper they are, highway ones hardly notice their depth. Both have
the best settings of a random search there; here the best of a small grid, equally large for both.

    tengen study highway-depth
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from studies.image_study import SGD, ImageOptions, labels_of, mean, table, task, trainings

TITLE = "Plain and highway networks by depth"
TRIED: dict[str, tuple[str, tuple[Any, ...], tuple[float, ...]]] = {
    "plain": ("activation", ("tanh", "relu"), (0.03, 0.01, 0.003, 0.001)),
    "highway": ("gate_bias", (-2.0, -4.0), (0.3, 0.1, 0.03, 0.01)),
}
"""Presets of networks.vision.highway (71 units a layer, and 50 with gates); the option and the
learning rates that are tried. With others neither was better, at 10 and 20 layers."""


@dataclass(frozen=True)
class Options(ImageOptions):
    """Training loss after equally many epochs, against depth."""

    out: str = "runs/studies/highway-depth"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """All trainings, and the best setting of each kind and depth."""
    quick = options.quick
    of = task(options, train=1_000 if quick else 2_000, side=28, epochs=10 if quick else 20,
              batch_size=100)  # fmt: skip
    found = trainings(options, [
        {"kind": kind, "depth": depth, "setting": f"{name} {value}", "rate": rate, "seed": seed,
         "network": {"name": kind, "depth": depth, "image_size": (28, 28), name: value},
         "optimiser": SGD, "task": of}
        for depth in ((10, 50) if quick else (10, 20, 50, 100))
        for kind, (name, values, rates) in TRIED.items()
        for value in values
        for rate in (rates[1:3] if quick else rates)
        for seed in options.each_seed
    ])  # fmt: skip
    best = []
    for depth in labels_of(found, "depth"):
        for kind in TRIED:
            here = [each for each in found if each["depth"] == depth and each["kind"] == kind]
            settings = dict.fromkeys((each["setting"], each["rate"]) for each in here)
            loss, setting, rate = min(
                (mean(here, "loss", setting=setting, rate=rate), setting, rate)
                for setting, rate in settings
            )
            error = mean(here, "error", setting=setting, rate=rate)
            best.append({"kind": kind, "depth": depth, "loss": loss, "error": error,
                         "setting": setting, "rate": rate})  # fmt: skip
    return {"best": best, "trainings": found}


def page(results: Mapping[str, Any]) -> list[str]:
    """The best setting of each depth and kind."""
    return table(
        ["layers", "kind", "training loss", "training error", "best setting"],
        [[str(row["depth"]), row["kind"], f"{row['loss']:.3f}", f"{row['error']:.1%}",
          f"{row['setting']}, rate {row['rate']:g}"] for row in results["best"]],
    )[:-1]  # fmt: skip


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Loss against depth: a line through the best settings, a dot for each training."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, (ax,) = new_figure(1, width=6.0)
    for colour, kind in zip(COLOURS, TRIED, strict=False):
        all_, rows = ([row for row in results[name] if row["kind"] == kind]
                      for name in ("trainings", "best"))  # fmt: skip
        depths = [row["depth"] for row in rows]
        ax.plot([row["depth"] for row in all_], [row["loss"] or inf for row in all_], ".",
                color=colour, alpha=0.35)  # fmt: skip
        ax.plot(depths, [row["loss"] for row in rows], "o-", color=colour,
                label=f"{kind}, best setting")  # fmt: skip
    ax.set(title="Training loss after equally many epochs", xlabel="layers",
           ylabel="cross-entropy", xscale="log", yscale="log", ylim=(None, 5))  # fmt: skip
    ax.set_xticks(depths, [str(depth) for depth in depths])
    ax.set_yticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
    ax.minorticks_off()
    ax.grid(axis="y", alpha=0.25)
    ax.legend(frameon=False, fontsize=9)
    save_figure(figure, path)
