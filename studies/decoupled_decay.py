"""Does the best weight decay depend on the learning rate? Adam with an L2 loss against AdamW.

Loshchilov & Hutter 2019 (arXiv 1711.05101, figure 2): with an L2 loss the best decay moves with the
learning rate, and Adam generalises worse; decay on its own separates the two. Their update is

    w <- w - eta_t (rate * adam(gradient) + decay * w)      eta_t from 1 to 0

so that the decay is free of the rate. torch's AdamW, like most since, has rate * decay in its
place; both are here, the paper's as torch's with decay / rate.

    tengen study decoupled-decay
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

from studies.grid import Cell
from studies.image_study import ImageOptions, labels_of, mean, table, task, trainings

TITLE = "Weight decay against learning rate, for LeNet-5"
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
"""Of Adam, at the start; they fall to 0 along half a cosine."""
DECAYS = {
    "Adam with L2": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),  # factors of the loss
    "AdamW, torch": (0.1, 0.3, 1.0, 3.0, 10.0),
    "AdamW, paper": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),  # shares that an update takes away
}


@dataclass(frozen=True)
class Options(ImageOptions):
    """Test error over learning rate and weight decay, for three kinds of decay."""

    out: str = "runs/studies/decoupled-decay"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """Mean test errors [rates][decays] of each kind, and what they say."""
    step = 2 if options.quick else 1
    of = task(options, train=500, test=2_000 if options.quick else 4_000, side=28,
              epochs=10 if options.quick else 30, batch_size=50, schedule="cosine")  # fmt: skip
    found = trainings(options, [
        {"kind": kind, "rate": rate, "decay": decay, "seed": seed, "network": {"name": "lenet5"},
         "optimiser": optimiser(kind, rate, decay), "task": of}
        for seed in options.each_seed
        for kind, decays in DECAYS.items()
        for rate in RATES[::step]
        for decay in decays[::step]
    ])  # fmt: skip
    kinds = {}
    for kind, decays in DECAYS.items():
        errors = [[mean(found, "test_error", kind=kind, rate=rate, decay=decay)
                   for decay in decays[::step]] for rate in RATES[::step]]  # fmt: skip
        kinds[kind] = {"decays": decays[::step], "errors": errors,
                       **alignment(errors, decays[::step])}  # fmt: skip
    return {"rates": labels_of(found, "rate"), "kinds": kinds, "trainings": found}


def optimiser(kind: str, rate: float, decay: float) -> Cell:
    """All weights decay, as in the paper, biases among them."""
    # torch multiplies by the rate, which here must cancel out at the start; its fall is eta's.
    factor = decay / rate if kind == "AdamW, paper" else decay
    name = "adam" if kind == "Adam with L2" else "adamw"
    return {"name": name, "epsilon": 1e-8, "weight_decay": factor}


def alignment(errors: Sequence[Sequence[float]], decays: Sequence[float]) -> dict[str, Any]:
    """How far one decay serves all learning rates; `errors` is [rates][decays].

    spread    decades between the least and the greatest of the rates' best decays
    regret    error that the decay which is best on average has over each rate's best, on average
    """
    best = [decays[row.index(min(row))] for row in errors]
    means = [sum(column) / len(errors) for column in zip(*errors, strict=True)]
    return {
        "least_error": min(map(min, errors)),
        "best_decays": best,
        "spread_decades": log10(max(best)) - log10(min(best)),
        "one_decay": decays[means.index(min(means))],
        "regret": min(means) - sum(map(min, errors)) / len(errors),
    }


def page(results: Mapping[str, Any]) -> list[str]:
    """What each kind of decay comes to."""
    return table(
        ["", "least error", f"best decays at rates {', '.join(f'{r:g}' for r in results['rates'])}",
         "decades apart", "one decay for all rates", "costs"],
        [[kind, f"{of['least_error']:.2%}", ", ".join(f"{decay:g}" for decay in of["best_decays"]),
          f"{of['spread_decades']:.1f}", f"{of['one_decay']:g}",
          f"{100 * of['regret']:.2f} points"] for kind, of in results["kinds"].items()],
    )[:-1]  # fmt: skip


def draw(results: Mapping[str, Any], path: Path) -> None:
    """A heat map for each kind; a ring marks the best decay of each rate."""
    import numpy as np

    from studies.training import new_figure, save_figure

    kinds = results["kinds"]
    figure, axes = new_figure(len(kinds), width=10.0, height=3.4)
    percent = [100 * np.array(of["errors"]) for of in kinds.values()]
    low = min(map(np.min, percent))
    high = min(low + 8, max(map(np.max, percent)))  # beyond it nothing is worth telling
    for ax, (kind, of), values in zip(axes, kinds.items(), percent, strict=True):
        image = ax.imshow(values, cmap="cividis_r", vmin=low, vmax=high, aspect="auto")
        best = values.argmin(axis=1)
        ax.plot(best, range(len(best)), "o", mfc="none", mec="#D55E00", markersize=15, mew=2)
        for (row, column), value in np.ndenumerate(values):
            shade = "white" if value > (low + high) / 2 else "black"
            ax.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color=shade)
        ax.set_xticks(range(values.shape[1]), [f"{decay:g}" for decay in of["decays"]])
        ax.set_yticks(range(values.shape[0]), [f"{rate:g}" for rate in results["rates"]])
        ax.set(title=kind, xlabel="weight decay")
        ax.tick_params(labelsize=7)
    axes[0].set_ylabel("learning rate")
    bar = figure.colorbar(image, ax=axes, label="test error, percent", extend="max")
    bar.outline.set_visible(False)
    save_figure(figure, path)
