"""How deep can a network be and still learn? Plain and highway layers of about equal parameters.

Srivastava et al. 2015 (arXiv 1505.00387, figure 1): fully connected networks of 10 to 100 layers on
MNIST. Plain ones learn less the deeper they are, highway ones hardly notice their depth. Both have
the best settings of a random search there; here the best of a small grid, equally large for both,
on few images, for a few epochs.

    python -m studies.highway_depth
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
import tyro

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.optimisers import build_optimiser
from core.report.plots import COLOURS
from networks.registry import build_network
from studies.training import (
    Clock,
    Part,
    load_parts,
    new_figure,
    save_figure,
    train,
    write_results,
)

KINDS = ("plain", "highway")
"""Presets of networks.vision.highway: 71 units a layer, and 50 with gates."""


@dataclass(frozen=True)
class Options:
    """Training loss after equally many epochs, against depth."""

    data: str = "fashion-mnist"
    train_images: int = 2_000
    depths: tuple[int, ...] = (10, 20, 50, 100)
    """Layers before the classifier."""
    learning_rates: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003)
    """Of SGD with momentum 0.9; at each depth the best setting counts, for both kinds."""
    plain_activations: tuple[str, ...] = ("tanh", "relu")
    """Tried in plain networks; highway ones have tanh."""
    gate_biases: tuple[float, ...] = (-2.0, -4.0)
    """Tried in highway networks."""
    epochs: int = 20
    batch_size: int = 100
    seed: int = 1
    device: str = "cpu"
    out: Path = Path("runs/studies/highway-depth.json")
    """Where the results go; the picture lies beside it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train, print, write, draw."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    clock = Clock()
    part, _ = load_parts(options.data, options.train_images, 1, options.device)
    print(f"{'layers':>6}  {'kind':<10}{'training loss':>13}{'error':>9}  with")
    tried: dict[str, list[dict[str, Any]]] = {
        "plain": [{"activation": name} for name in options.plain_activations],
        "highway": [{"gate_bias": bias} for bias in options.gate_biases],
    }
    runs: list[dict[str, Any]] = []
    best: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for depth, kind in product(options.depths, KINDS):
        found = [
            final_score(kind, depth, setting, rate, part, options)
            for setting, rate in product(tried[kind], options.learning_rates)
        ]
        runs += found
        row = min(found, key=lambda run: run["loss"] if isfinite(run["loss"]) else inf)
        best[kind].append(row)
        print(
            f"{depth:>6}  {kind:<10}{row['loss']:>13.4f}{row['error']:>9.2%}  "
            f"{row['setting']}, learning rate {row['learning_rate']:g}",
            flush=True,
        )
    write_results(options.out, options, clock, {"best": best, "runs": runs})
    draw(best, runs, options.out.with_suffix(".png"))


def final_score(
    kind: str, depth: int, setting: dict[str, Any], rate: float, part: Part, options: Options
) -> dict[str, Any]:
    """What a network was, and its loss and error over the last epoch."""
    torch.manual_seed(options.seed)
    channels, height, width = part.images.shape[1:]
    network = build_network(
        kind, depth=depth, in_channels=channels, image_size=(height, width), **setting
    ).to(options.device)
    optimiser = build_optimiser("sgd", network.parameters(), rate, 0.0, momentum=0.9)
    *_, last = train(network, optimiser, part, options.epochs, options.batch_size, options.seed)
    return {
        "kind": kind,
        "depth": depth,
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "setting": ", ".join(f"{name} {value}" for name, value in setting.items()),
        "learning_rate": rate,
        "loss": last.loss,
        "error": last.error,
    }


def draw(
    best: Mapping[str, Sequence[Mapping[str, Any]]], runs: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Loss against depth: a line through the best settings, a dot for each other one."""
    figure, (ax,) = new_figure(1, width=6.0)
    for colour, (kind, rows) in zip(COLOURS, best.items(), strict=False):
        others = [run for run in runs if run["kind"] == kind and isfinite(run["loss"])]
        ax.plot(
            [run["depth"] for run in others], [run["loss"] for run in others],
            ".", color=colour, alpha=0.35, markersize=6,
        )  # fmt: skip
        ax.plot(
            [row["depth"] for row in rows], [row["loss"] for row in rows],
            "o-", color=colour, label=f"{kind}, best setting",
        )  # fmt: skip
    depths = [row["depth"] for row in next(iter(best.values()))]
    ax.set(title="Training loss after equally many epochs", xlabel="layers",
           ylabel="cross-entropy", xscale="log", yscale="log")  # fmt: skip
    ax.set_xticks(depths, [str(depth) for depth in depths])
    ax.minorticks_off()
    ax.grid(axis="y", alpha=0.25)
    ax.legend(frameon=False, fontsize=9)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
