"""How high a learning rate does a network bear, with and without batch normalisation?

Ioffe & Szegedy 2015 (arXiv 1502.03167, section 3.3 and figure 2): what a normalised layer gives
back does not depend on the scale of its weights, so that learning rates can be many times higher;
Inception without it failed at five times its rate. Here two kinds of small networks:

    plain   14 layers of ResNet's form for small images without shortcuts; all but the classifier
            are normalised, or none
    vgg     a narrow VGG-11; its two hidden layers are not normalised in either form, as published

    python -m studies.batch_norm_rates
    python -m studies.batch_norm_rates --network vgg
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro
from torch import nn

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.optimisers import build_optimiser
from core.report.plots import COLOURS
from networks.registry import build_network
from studies.training import (
    Clock,
    Part,
    evaluate,
    load_parts,
    new_figure,
    save_figure,
    train,
    write_results,
)

KINDS = {"without": "none", "with": "batch"}
"""Names of networks.blocks.normalisation."""


@dataclass(frozen=True)
class Options:
    """Final training accuracy against the learning rate, with and without batch normalisation."""

    data: str = "fashion-mnist"
    network: Literal["plain", "vgg"] = "plain"
    train_images: int = 10_000
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    """Of SGD, constant."""
    momentum: float = 0.9
    epochs: int = 4
    batch_size: int = 128
    trains_from: float = 0.5
    """Training accuracy from which a network counts as one that trains; guessing has 0.1."""
    seeds: tuple[int, ...] = (1, 2)
    device: str = "cpu"
    out: Path = Path("runs/studies/batch-norm-rates.json")
    """Where the results go; the picture lies beside it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train, print, write, draw."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    clock = Clock()
    side = 14 if options.network == "plain" else 32  # the five pools of VGG need 32
    part, _ = load_parts(options.data, options.train_images, 1, options.device, side)
    found: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    print("training accuracy\nlearning rate" + "".join(f"{kind:>10}" for kind in KINDS))
    for rate in options.rates:
        for kind in KINDS:
            found[kind].append(
                [accuracy(kind, rate, seed, part, options) for seed in options.seeds]
            )
        means = [mean(found[kind][-1]) for kind in KINDS]
        print(f"{rate:>13g}" + "".join(f"{value:>10.1%}" for value in means), flush=True)
    highest = {
        kind: max((rate for rate, values in zip(options.rates, rows, strict=True)
                   if mean(values) >= options.trains_from), default=None)
        for kind, rows in found.items()
    }  # fmt: skip
    print(f"highest rate that trains: {highest}")
    write_results(
        options.out, options, clock, {"training_accuracy": found, "highest_rate": highest}
    )
    draw(found, options, options.out.with_suffix(".png"))


def accuracy(kind: str, rate: float, seed: int, part: Part, options: Options) -> float:
    """On the images that it was trained with, after training; statistics of batches are those
    that were averaged in training."""
    torch.manual_seed(seed)
    network = build(options.network, KINDS[kind], part.images.shape[1]).to(options.device)
    optimiser = build_optimiser("sgd", network.parameters(), rate, 0.0, momentum=options.momentum)
    for _ in train(network, optimiser, part, options.epochs, options.batch_size, seed):
        pass
    return 1 - evaluate(network, part).error


def build(network: str, normalisation: str, channels: int) -> nn.Module:
    """A narrow network for images of so many channels and ten classes."""
    if network == "plain":
        return build_network(
            "plain20", in_channels=channels, blocks=2, widths=(8, 16, 32),
            normalisation=normalisation,
        )  # fmt: skip
    return build_network(
        "vgg11", in_channels=channels, num_classes=10, widths=(8, 16, 32, 64, 64), hidden=128,
        dropout=0.0, normalisation=normalisation,
    )  # fmt: skip


def mean(values: Sequence[float]) -> float:
    """Of seeds."""
    return sum(values) / len(values)


def draw(found: Mapping[str, Sequence[Sequence[float]]], options: Options, path: Path) -> None:
    """Accuracy against the rate: a dot for each seed, a line through their means."""
    figure, (ax,) = new_figure(1, width=6.0)
    for colour, (kind, rows) in zip(COLOURS, found.items(), strict=False):
        for rate, values in zip(options.rates, rows, strict=True):
            ax.plot([rate] * len(values), [100 * v for v in values], ".", color=colour, alpha=0.4)
        means = [100 * mean(values) for values in rows]
        ax.plot(options.rates, means, "o-", color=colour, label=f"{kind} batch normalisation")
    ax.axhline(10, color="#777777", linewidth=0.9, linestyle=(0, (4, 3)))
    ax.annotate("guessing", (options.rates[0], 11), fontsize=8, color="#555555")
    ax.set(title=f"{options.network} network after {options.epochs} epochs", xlabel="learning rate",
           ylabel="training accuracy, percent", xscale="log", ylim=(0, 105))  # fmt: skip
    ax.grid(axis="y", alpha=0.25)
    ax.legend(frameon=False, fontsize=9, loc="upper right")
    save_figure(figure, path)


if __name__ == "__main__":
    main()
