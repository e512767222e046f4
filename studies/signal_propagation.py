"""Why initial weights matter: how large a signal is after many layers.

A stack of linear layers of 512 units without biases, fed with standard normal vectors. With ReLU
units Xavier's variance halves the mean square at every layer and Kaiming's keeps it (He et al.
2015, section 2.2); SELU units with LeCun's variance hold it at 1 (Klambauer et al. 2017).

    python -m studies.signal_propagation

Legend: B vectors, D units.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import nn

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.report.plots import COLOURS
from networks.blocks.activations import activation
from networks.blocks.initialisation import initialise

STACKS = (
    ("xavier_normal", "relu"),
    ("kaiming_normal", "relu"),
    ("xavier_normal", "tanh"),
    ("kaiming_normal", "selu"),
    ("lecun_normal", "selu"),
)


@dataclass(frozen=True)
class Options:
    """Mean square of the activations, layer by layer."""

    layers: int = 30
    width: int = 512
    """D"""
    vectors: int = 256
    """B"""
    seed: int = 1
    out: Path = Path("runs/studies/signal-propagation.png")
    """Where the picture goes."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and draw."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    curves = {f"{init}, {units}": mean_squares(init, units, options) for init, units in STACKS}
    for name, squares in curves.items():
        print(f"{name:<22} after {options.layers} layers: {squares[-1]:.3g}")
    draw(curves, options.out)


def mean_squares(initialisation: str, units: str, options: Options) -> list[float]:
    """Mean square of the input and after every layer's activation."""
    torch.manual_seed(options.seed)
    signal = torch.randn(options.vectors, options.width)  # [B, D]
    squares = [float(signal.square().mean())]
    for _ in range(options.layers):
        layer = initialise(nn.Linear(options.width, options.width, bias=False), initialisation)
        with torch.no_grad():
            signal = activation(units)(layer(signal))
        squares.append(float(signal.square().mean()))
    return squares


def draw(curves: Mapping[str, Sequence[float]], path: Path) -> None:
    """Mean square against depth, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120, layout="constrained")
    for colour, (name, squares) in zip(COLOURS, curves.items(), strict=False):
        axes.semilogy(squares, color=colour, label=name)
    axes.set(title="A signal through random layers", xlabel="layer", ylabel="mean square")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
