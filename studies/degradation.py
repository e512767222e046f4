"""Do more layers train worse? Plain and residual networks of 20 and 56 layers.

He et al. 2015 (arXiv 1512.03385, section 4.2, figure 6): 56 plain layers have a higher training
error than 20, so what fails is not generalisation; with shortcuts 56 are better than 20. Theirs
were 45,000 images of 32x32 and 182 epochs; here fewer and smaller images, half as many channels, a
few epochs and no augmentation.

    tengen study degradation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import free
from studies.image_study import SGD, ImageOptions, labels_of, mean, table, task, trainings

TITLE = "Plain and residual networks of 20 and 56 layers"
BLOCKS = {20: 3, 56: 9}
"""Of each of the three stages, by layers."""


@dataclass(frozen=True)
class Options(ImageOptions):
    """Training and test error of plain and residual networks, epoch by epoch."""

    rate: float = free(0.03, over=0)
    """Learning rate; it falls to a tenth at half and again at three quarters of the epochs."""
    out: str = "runs/studies/degradation"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """All trainings."""
    quick = options.quick
    of = task(options, train=2_000 if quick else 5_000, test=2_000, side=14,
              epochs=4 if quick else 8, batch_size=64, schedule="step", curves=True)  # fmt: skip
    return {"trainings": trainings(options, [
        {"kind": f"{kind}-{layers}", "rate": options.rate, "seed": seed, "task": of,
         "optimiser": {**SGD, "weight_decay": 1e-4},
         "network": {"name": "resnet20", "blocks": blocks, "widths": (8, 16, 32),
                     "shortcuts": kind == "residual"}}
        for kind in ("plain", "residual")
        for layers, blocks in BLOCKS.items()
        for seed in options.each_seed
    ])}  # fmt: skip


def page(results: Mapping[str, Any]) -> list[str]:
    """Errors in the last epoch."""
    found = results["trainings"]
    return table(
        ["network", "training error", "test error"],
        [[kind, *(f"{mean(found, score, kind=kind):.1%}" for score in ("error", "test_error"))]
         for kind in labels_of(found, "kind")],
    )[:-1]  # fmt: skip


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Errors over the epochs; deep networks are drawn thick, as in the paper."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    found = results["trainings"]
    kinds = labels_of(found, "kind")
    figure, axes = new_figure(2)
    for ax, part in zip(axes, ("training", "test"), strict=True):
        for each in found:
            number = kinds.index(each["kind"])
            percent = [100 * error for error in each[part]]
            ax.plot(range(1, len(percent) + 1), percent, ("--", "-")[number % 2],
                    color=COLOURS[number // 2], linewidth=(1.2, 2.4)[number % 2],
                    label=each["kind"] if each["seed"] == 1 else None)  # fmt: skip
        ax.set(title=f"{part} error", xlabel="epoch", ylabel="percent",
               yscale="log")  # fmt: skip
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        ax.grid(axis="y", which="both", alpha=0.2)
    axes[0].legend(frameon=False, fontsize=9)
    save_figure(figure, path)
