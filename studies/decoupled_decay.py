"""Does the best weight decay depend on the learning rate? Adam with an L2 loss against AdamW.

Loshchilov & Hutter 2019 (arXiv 1711.05101, figure 2): with an L2 loss the best decay moves with the
learning rate, and Adam generalises worse; decay on its own separates the two. Their update is

    w <- w - eta_t (rate * adam(gradient) + decay * w)      eta_t from 1 to 0

so that the decay is free of the rate. torch's AdamW, like most since, has rate * decay in its
place; both are here, the paper's as torch's with decay / rate.

    python -m studies.decoupled_decay
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.optimisers import build_optimiser
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
    """Test error of LeNet-5 over learning rate and weight decay, for three kinds of decay."""

    data: str = "fashion-mnist"
    train_images: int = 500
    """Few, so that there is something to regularise."""
    test_images: int = 5_000
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    """Of Adam, at the start; they fall to 0 along half a cosine."""
    l2_decays: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    """Factors of the L2 loss."""
    torch_decays: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Of AdamW as torch has it."""
    paper_decays: tuple[float, ...] = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    """Of AdamW as the paper has it: the share of a weight that an update takes away."""
    epochs: int = 30
    batch_size: int = 50
    seeds: tuple[int, ...] = (1, 2)
    """Errors are means over them."""
    device: str = "cpu"
    out: Path = Path("runs/studies/decoupled-decay.json")
    """Where the results go; the picture lies beside it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train, print, write, draw."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    clock = Clock()
    parts = load_parts(options.data, options.train_images, options.test_images, options.device)
    kinds = {
        "Adam with L2": options.l2_decays,
        "AdamW, torch": options.torch_decays,
        "AdamW, paper": options.paper_decays,
    }
    found: dict[str, dict[str, Any]] = {}
    for kind, decays in kinds.items():
        errors = np.array([
            [np.mean([error(kind, rate, decay, seed, parts, options) for seed in options.seeds])
             for decay in decays]
            for rate in options.rates
        ])  # [rates, decays]  # fmt: skip
        found[kind] = {"decays": decays, "errors": errors.tolist(), **alignment(errors, decays)}
        report(kind, found[kind], options)
    write_results(options.out, options, clock, {"kinds": found})
    draw(found, options, options.out.with_suffix(".png"))


def error(
    kind: str, rate: float, decay: float, seed: int, parts: tuple[Part, Part], options: Options
) -> float:
    """Test error after training. All weights decay, as in the paper, biases among them."""
    torch.manual_seed(seed)
    network = build_network("lenet5", in_channels=parts[0].images.shape[1]).to(options.device)
    name = "adam" if kind == "Adam with L2" else "adamw"
    # torch multiplies by the rate, which here must cancel out at the start; its fall is eta's.
    factor = decay / rate if kind == "AdamW, paper" else decay
    optimiser = build_optimiser(name, network.parameters(), rate, 1e-8, weight_decay=factor)
    for _ in train(
        network, optimiser, parts[0], options.epochs, options.batch_size, seed, "cosine"
    ):
        pass
    return evaluate(network, parts[1]).error


def alignment(errors: np.ndarray, decays: Sequence[float]) -> dict[str, Any]:
    """How far one decay serves all learning rates; `errors` is [rates, decays].

    spread    decades between the least and the greatest of the rates' best decays
    regret    error that the decay which is best on average has over each rate's best, on average
    """
    best = errors.argmin(axis=1)  # [rates]
    exponents = [log10(decays[column]) for column in best]
    one = int(errors.mean(axis=0).argmin())
    return {
        "least_error": float(errors.min()),
        "best_decays": [decays[column] for column in best],
        "spread_decades": max(exponents) - min(exponents),
        "one_decay": decays[one],
        "regret": float((errors[:, one] - errors.min(axis=1)).mean()),
    }


def report(kind: str, found: Mapping[str, Any], options: Options) -> None:
    """A table of test errors, and what it says."""
    print(f"{kind}: test error\n{'rate':>10}" + "".join(f"{d:>9g}" for d in found["decays"]))
    for rate, row in zip(options.rates, found["errors"], strict=True):
        print(f"{rate:>10g}" + "".join(f"{value:>9.2%}" for value in row))
    print(
        f"least {found['least_error']:.2%}; best decays lie {found['spread_decades']:.1f} decades "
        f"apart; one decay for all rates costs {found['regret']:.2%}\n",
        flush=True,
    )


def draw(found: Mapping[str, Mapping[str, Any]], options: Options, path: Path) -> None:
    """A heat map for each kind; a ring marks the best decay of each rate."""
    figure, axes = new_figure(len(found), width=10.0, height=3.4)
    percent = {kind: 100 * np.array(result["errors"]) for kind, result in found.items()}
    low = min(map(np.min, percent.values()))
    high = min(low + 8, max(map(np.max, percent.values())))  # beyond it nothing is worth telling
    for ax, (kind, values) in zip(axes, percent.items(), strict=True):
        image = ax.imshow(values, cmap="cividis_r", vmin=low, vmax=high, aspect="auto")
        best = values.argmin(axis=1)
        ax.plot(best, range(len(best)), "o", mfc="none", mec="#D55E00", markersize=15, mew=2)
        for (row, column), value in np.ndenumerate(values):
            shade = "white" if value > (low + high) / 2 else "black"
            ax.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color=shade)
        ax.set_xticks(range(values.shape[1]), [f"{decay:g}" for decay in found[kind]["decays"]])
        ax.set_yticks(range(values.shape[0]), [f"{rate:g}" for rate in options.rates])
        ax.set(title=kind, xlabel="weight decay")
        ax.tick_params(labelsize=7)
    axes[0].set_ylabel("learning rate")
    bar = figure.colorbar(image, ax=axes, label="test error, percent", extend="max")
    bar.outline.set_visible(False)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
