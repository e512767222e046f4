"""Is a network of infinitely many layers as good as one of six blocks? An ODE-Net and its ResNet.

Chen et al. 2018 (arXiv 1806.07366, section 3, table 1 and figure 3): on MNIST as good as the
residual network with a third of its parameters; the solver calls the dynamics more often as
training goes on, and about half as often backwards as forwards. Here the same networks on fewer
and smaller images.

    tengen study ode-net
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.grid import Cell, Found
from studies.image_study import SGD, ImageOptions, labels_of, mean, table, task, train_cell
from studies.image_study import trainings as all_trainings

TITLE = "An ODE-Net and its residual network"
NETWORKS = {"ODE-Net": "odenet", "ResNet, 6 blocks": "odenet_resnet"}


@dataclass(frozen=True)
class Options(ImageOptions):
    """Test error, parameters and function evaluations of an ODE-Net and its residual network."""

    out: str = "runs/studies/ode-net"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """The trainings of both; 64 channels and dopri5 with a tolerance of 0.001 as in the paper."""
    train, test, epochs = (500, 500, 3) if options.quick else (2_000, 1_000, 8)
    of = task(options, train=train, test=test, side=14, epochs=epochs, batch_size=100,
              schedule="cosine", curves=True)  # fmt: skip
    # With 32 channels and fewer each is normalised on its own: the dynamics cannot move its mean.
    cells = [
        {"kind": kind, "rate": 0.1, "seed": seed, "optimiser": SGD, "task": of,
         "network": {"name": name, "width": 64, "tolerance": 1e-3}}
        for kind, name in NETWORKS.items() for seed in options.each_seed
    ]  # fmt: skip
    return {"trainings": all_trainings(options, cells, compute)}


def compute(cell: Cell) -> Found:
    """A training with its evaluations forwards and backwards before and after each epoch."""
    return train_cell(cell, evaluations)


def evaluations(network: Any, test: Any) -> tuple[int, int]:
    """Calls of the dynamics forwards and backwards for the first images; the weights stay."""
    from torch.nn import functional

    network.train()
    network.reset_evaluations()
    loss = functional.cross_entropy(network(test.images[:100]), test.labels[:100])
    forwards = network.function_evaluations
    loss.backward()  # type: ignore[no-untyped-call]
    network.zero_grad()
    return forwards, network.function_evaluations - forwards


def page(results: Mapping[str, Any]) -> list[str]:
    """Both networks, and the evaluations of the first seed."""
    found = results["trainings"]
    lines = table(
        ["network", "parameters", "training error", "test error", "processor seconds"],
        [[kind, f"{mean(found, 'parameters', kind=kind):,.0f}",
          *(f"{mean(found, score, kind=kind):.1%}" for score in ("error", "test_error")),
          f"{mean(found, 'processor_seconds', kind=kind):.0f}"]
         for kind in labels_of(found, "kind")],
    )  # fmt: skip
    told = ", ".join(f"{ahead} and {back}" for ahead, back in found[0]["watched"])
    return [*lines, f"Evaluations forwards and backwards, before and after each epoch: {told}."]


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Test error over the epochs, and evaluations of the ODE-Net."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    found = results["trainings"]
    figure, (left, right) = new_figure(2)
    for each in found:
        percent = [100 * error for error in each["test"]]
        left.plot(range(1, len(percent) + 1), percent,
                  color=COLOURS[list(NETWORKS).index(each["kind"])],
                  label=f"{each['kind']}: {each['parameters']:,} parameters"
                  if each["seed"] == 1 else None)  # fmt: skip
    left.set(title="test error", xlabel="epoch", ylabel="percent")
    counts = zip(*found[0]["watched"], strict=True)
    for colour, direction, calls in zip(
        COLOURS[2:], ("forwards", "backwards"), counts, strict=False
    ):
        right.plot(range(len(calls)), calls, "o-", color=colour, label=direction)
    right.set(title="function evaluations of a batch", xlabel="epoch", ylabel="calls", ylim=0)
    for ax in (left, right):
        ax.legend(frameon=False, fontsize=9)
        ax.grid(axis="y", alpha=0.25)
    save_figure(figure, path)
