"""Why initial weights matter: how large a signal is after many layers.

A stack of linear layers without biases, fed with standard normal vectors. With ReLU units Xavier's
variance halves the mean square at every layer and Kaiming's keeps it (He et al. 2015, section 2.2,
arXiv 1502.01852); SELU units with LeCun's variance hold it at 1 (Klambauer et al. 2017, arXiv
1706.02515).

    tengen study signal-propagation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import free
from studies.grid import Cell, Found, GridOptions, key, run_grid
from studies.image_study import table

TITLE = "A signal through random layers"
STACKS = (
    ("xavier_normal", "relu"),
    ("kaiming_normal", "relu"),
    ("xavier_normal", "tanh"),
    ("kaiming_normal", "selu"),
    ("lecun_normal", "selu"),
)


@dataclass(frozen=True)
class Options(GridOptions):
    """Mean square of the activations, layer by layer."""

    layers: int = free(30, at_least=1, at_most=1_000)
    """Linear layers, each with its activation."""
    processes: int = free(1, at_least=0)
    """Stacks at once; 0: one on each core. They take less time than a process to begin."""
    out: str = "runs/studies/signal-propagation"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """The curves, by the names of weights and units."""
    size = {"layers": options.layers, "width": 128 if options.quick else 512, "vectors": 256}
    cells = {f"{weights}, {units}": {"weights": weights, "units": units, **size, "seed": 1}
             for weights, units in STACKS}  # fmt: skip
    found = run_grid(compute, list(cells.values()), Path(options.out), options.processes)
    return {"mean_squares": {name: found[key(cell)]["curve"] for name, cell in cells.items()}}


def compute(cell: Cell) -> Found:
    """Mean square of the input and after every layer's activation."""
    import torch
    from torch import nn

    from networks.blocks.activations import activation
    from networks.blocks.initialisation import initialise

    torch.manual_seed(cell["seed"])
    signal = torch.randn(cell["vectors"], cell["width"])
    curve = [float(signal.square().mean())]
    for _ in range(cell["layers"]):
        layer = initialise(nn.Linear(cell["width"], cell["width"], bias=False), cell["weights"])
        with torch.no_grad():
            signal = activation(cell["units"])(layer(signal))
        curve.append(float(signal.square().mean()))
    return {"curve": curve}


def page(results: Mapping[str, Any]) -> list[str]:
    """Mean squares after the last layer."""
    rows = [[name, f"{curve[-1]:.3g}"] for name, curve in results["mean_squares"].items()]
    layers = len(next(iter(results["mean_squares"].values()))) - 1
    return table(["first weights, units", f"mean square after {layers} layers"], rows)[:-1]


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Mean square against depth, on a logarithmic axis."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, (ax,) = new_figure(1, width=7.0, height=4.0)
    for colour, (name, squares) in zip(COLOURS, results["mean_squares"].items(), strict=False):
        ax.semilogy(squares, color=colour, label=name)
    ax.set(title=TITLE, xlabel="layer", ylabel="mean square")
    ax.legend(frameon=False, fontsize=9)
    save_figure(figure, path)
