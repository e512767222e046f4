"""Is a network of infinitely many layers as good as one of six blocks? An ODE-Net and its ResNet.

Chen et al. 2018 (arXiv 1806.07366, section 3, table 1 and figure 3): on MNIST as good as the
residual network with a third of its parameters; the solver calls the dynamics more often as
training goes on, and about half as often backwards as forwards. Here the same networks on fewer
and smaller images.

    python -m studies.ode_net
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch.nn import functional

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.optimisers import build_optimiser
from core.report.plots import COLOURS
from networks.registry import build_network
from networks.vision.neural_ode import NeuralODE
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

KINDS = {"ODE-Net": "odenet", "ResNet, 6 blocks": "odenet_resnet"}


@dataclass(frozen=True)
class Options:
    """Test error, parameters and function evaluations of an ODE-Net and its residual network."""

    data: str = "fashion-mnist"
    train_images: int = 3_000
    test_images: int = 2_000
    side: int = 14
    """Images are averaged or padded to this height and width, of 10 or more."""
    width: int = 64
    """Channels, as in the paper. With 32 and fewer each channel is normalised on its own, so that
    the dynamics cannot move its mean."""
    tolerance: float = 1e-3
    """Of the solver, dopri5."""
    epochs: int = 10
    """The learning rate falls to 0 along half a cosine."""
    batch_size: int = 100
    learning_rate: float = 0.1
    """Of SGD with momentum 0.9."""
    seed: int = 1
    device: str = "cpu"
    out: Path = Path("runs/studies/ode-net.json")
    """Where the results go; the picture lies beside it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train, print, write, draw."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    clock = Clock()
    parts = load_parts(
        options.data, options.train_images, options.test_images, options.device, options.side
    )
    found = {kind: learn(preset, parts, options) for kind, preset in KINDS.items()}
    print(
        f"{'network':<18}{'parameters':>11}{'training error':>16}{'test error':>12}{'seconds':>9}"
    )
    for kind, result in found.items():
        print(
            f"{kind:<18}{result['parameters']:>11,}{result['training_errors'][-1]:>16.2%}"
            f"{result['test_errors'][-1]:>12.2%}{result['processor_seconds']:>9.0f}"
        )
    for epoch, (ahead, back) in enumerate(found["ODE-Net"]["evaluations"]):
        print(f"after {epoch:>2} epochs: {ahead} evaluations forwards, {back} backwards")
    write_results(options.out, options, clock, {"networks": found})
    draw(found, options.out.with_suffix(".png"))


def learn(preset: str, parts: tuple[Part, Part], options: Options) -> dict[str, Any]:
    """Errors after each epoch; evaluations forwards and backwards before and after each."""
    torch.manual_seed(options.seed)
    clock = Clock()
    network = build_network(
        preset,
        in_channels=parts[0].images.shape[1],
        width=options.width,
        tolerance=options.tolerance,
    ).to(options.device)
    assert isinstance(network, NeuralODE)
    optimiser = build_optimiser(
        "sgd", network.parameters(), options.learning_rate, 0.0, momentum=0.9
    )
    evaluations = [count_evaluations(network, parts[1], options.batch_size)]
    training_errors, test_errors = [], []
    for score in train(
        network, optimiser, parts[0], options.epochs, options.batch_size, options.seed, "cosine"
    ):
        training_errors.append(score.error)
        test_errors.append(evaluate(network, parts[1]).error)
        evaluations.append(count_evaluations(network, parts[1], options.batch_size))
    return {
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "training_errors": training_errors,
        "test_errors": test_errors,
        "evaluations": evaluations,
        **clock.seconds(),
    }


def count_evaluations(network: NeuralODE, part: Part, count: int) -> tuple[int, int]:
    """Calls of the dynamics forwards and backwards for the first images; the weights stay."""
    network.train()
    network.reset_evaluations()
    loss = functional.cross_entropy(network(part.images[:count]), part.labels[:count])
    forwards = network.function_evaluations
    loss.backward()  # type: ignore[no-untyped-call]
    network.zero_grad()
    return forwards, network.function_evaluations - forwards


def draw(found: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Test error over the epochs, and evaluations of the ODE-Net."""
    figure, (left, right) = new_figure(2)
    for colour, (kind, result) in zip(COLOURS, found.items(), strict=False):
        percent = [100 * error for error in result["test_errors"]]
        label = f"{kind}: {result['parameters']:,} parameters"
        left.plot(range(1, len(percent) + 1), percent, color=colour, label=label)
    left.set(title="test error", xlabel="epoch", ylabel="percent")
    left.legend(frameon=False, fontsize=9)
    evaluations = found["ODE-Net"]["evaluations"]
    for colour, direction, counts in zip(
        COLOURS[2:], ("forwards", "backwards"), zip(*evaluations, strict=True), strict=False
    ):
        right.plot(range(len(counts)), counts, "o-", color=colour, label=direction)
    right.set(title="function evaluations of a batch", xlabel="epoch", ylabel="calls", ylim=0)
    right.legend(frameon=False, fontsize=9)
    for ax in (left, right):
        ax.grid(axis="y", alpha=0.25)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
