"""Do more layers train worse? Plain and residual networks of 20 and 56 layers.

He et al. 2015 (arXiv 1512.03385, section 4.2, figure 6): 56 plain layers have a higher training
error than 20, so what fails is not generalisation; with shortcuts 56 are better than 20. Theirs
were 45,000 images of 32x32 and 182 epochs; here fewer and smaller images, half as many channels, a
few epochs and no augmentation.

    python -m studies.degradation
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    evaluate,
    load_parts,
    new_figure,
    save_figure,
    train,
    write_results,
)


@dataclass(frozen=True)
class Options:
    """Training and test error of plain and residual networks, epoch by epoch."""

    data: str = "fashion-mnist"
    train_images: int = 10_000
    test_images: int = 5_000
    side: int = 14
    """Images are averaged to this height and width."""
    shallow: int = 3
    """Blocks of each of the three stages: 3 for 20 layers."""
    deep: int = 9
    """9 for 56 layers."""
    widths: tuple[int, int, int] = (8, 16, 32)
    """Channels of the stages; the paper's are 16, 32, 64."""
    epochs: int = 10
    """The learning rate falls to a tenth at half and again at three quarters of them."""
    batch_size: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    seed: int = 1
    device: str = "cpu"
    out: Path = Path("runs/studies/degradation.json")
    """Where the results go; the picture lies beside it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train, print, write, draw."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    clock = Clock()
    parts = load_parts(
        options.data, options.train_images, options.test_images, options.device, options.side
    )
    curves: dict[str, dict[str, list[float]]] = {}
    print(f"{'network':<12}{'training error':>16}{'test error':>13}")
    for shortcuts in (False, True):
        for blocks in (options.shallow, options.deep):
            name = f"{'residual' if shortcuts else 'plain'}-{6 * blocks + 2}"
            curves[name] = curve = errors(blocks, shortcuts, parts, options)
            print(f"{name:<12}{curve['training'][-1]:>16.2%}{curve['test'][-1]:>13.2%}", flush=True)
    write_results(options.out, options, clock, {"errors": curves})
    draw(curves, options.out.with_suffix(".png"))


def errors(
    blocks: int, shortcuts: bool, parts: tuple[Part, Part], options: Options
) -> dict[str, list[float]]:
    """Errors of a network on the training images, as they were met, and on the test images."""
    torch.manual_seed(options.seed)
    network = build_network(
        "resnet20",
        in_channels=parts[0].images.shape[1],
        blocks=blocks,
        widths=options.widths,
        shortcuts=shortcuts,
    ).to(options.device)
    optimiser = build_optimiser(
        "sgd", network.parameters(), options.learning_rate, 0.0,
        momentum=0.9, weight_decay=options.weight_decay,
    )  # fmt: skip
    found: dict[str, list[float]] = {"training": [], "test": []}
    for score in train(
        network, optimiser, parts[0], options.epochs, options.batch_size, options.seed, "step"
    ):
        found["training"].append(score.error)
        found["test"].append(evaluate(network, parts[1]).error)
    return found


def draw(curves: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Training and test error over the epochs; deep networks are drawn thick, as in the paper."""
    figure, axes = new_figure(2)
    for ax, part in zip(axes, ("training", "test"), strict=True):
        for number, (name, curve) in enumerate(curves.items()):
            epochs = range(1, len(curve[part]) + 1)
            percent = [100 * error for error in curve[part]]
            colour, line = COLOURS[number // 2], (1.2, 2.4)[number % 2]
            style = ("--", "-")[number % 2]
            ax.plot(epochs, percent, style, color=colour, linewidth=line, label=name)
        ax.set(title=f"{part} error", xlabel="epoch", ylabel="percent", yscale="log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        ax.grid(axis="y", which="both", alpha=0.2)
    axes[0].legend(frameon=False, fontsize=9)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
