"""Deep double descent: test error falls, rises and falls again as networks grow.

Nakkiran et al. 2019, arXiv 1912.02292. Near the size at which a network can just fit its training
data, noisy labels and all, it has one way to do so and a bad one; larger ones choose among many.

    by width    MNIST-1D with 15 % wrong labels and with none, two hidden layers
    by epoch    the same networks on their way
    by examples the same networks with more data: more data can hurt
    small CNNs  Fashion-MNIST averaged to 14x14, 20 % wrong labels

Every width is trained with all seeds side by side (`studies/ensemble.py`). The effective model
complexity of a width is the largest number of examples that it fits to 5 % error.

    tengen study double-descent
    tengen study double-descent --quick
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import free
from studies.grid import Cell, Found, GridOptions, key, run_grid

TITLE = "Deep double descent"
FITTED = 0.01
"""Training error from which on a network fits its data."""
COMPLEXITY_ERROR = 0.05
"""Of effective model complexity (Nakkiran et al., definition 1)."""
HIGHER = 0.03
"""By how much a peak must exceed both sides."""
PUBLISHED = {5: 0.575, 9: 0.49, 16: 0.472, 27: 0.507, 36: 0.528, 47: 0.541, 61: 0.54, 104: 0.502,
             177: 0.479, 300: 0.455}  # fmt: skip
"""Test error by width with 15 % wrong labels in the notebook of Greydanus 2020, one seed."""


@dataclass(frozen=True)
class Options(GridOptions):
    """Test error against width, epochs and examples, with a picture and a page."""

    quick: bool = False
    """Fewer widths and epochs, one seed, no CNNs: two minutes."""
    seeds: int = free(3, at_least=1, at_most=100)
    """Trainings of each network."""
    device: str = "cpu"
    """Where they are trained: cpu or cuda."""
    out: str = "runs/studies/double-descent"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """All cells, or what is missing of them; what they say together."""
    groups = cells_of(options)
    everything = [cell for cells in groups.values() for cell in cells]
    from studies.double_descent_cells import compute

    found = run_grid(compute, everything, Path(options.out), options.processes)
    results = {name: [summary(cell, found[key(cell)]) for cell in cells]
               for name, cells in groups.items()}  # fmt: skip
    verdicts = {name: verdict(results[name])
                for name in ("noisy", "clean", "cnn") if results.get(name)}  # fmt: skip
    return {
        "curves": results,
        "verdicts": verdicts,
        "complexity": complexity(results["examples"]),
    }


def cells_of(options: Options) -> dict[str, list[Cell]]:
    """The grid: groups of cells by name."""
    quick = options.quick
    shared = {"seeds": [1] if quick else list(range(1, options.seeds + 1)),
              "device": options.device}  # fmt: skip
    line = {"data": "mnist1d", "batch_size": 100, "learning_rate": 0.01, "test": 6_000, **shared}
    widths = (5, 16, 47, 104, 300) if quick else (5, 9, 16, 27, 36, 47, 61, 80, 104, 177, 300)
    updates = 6_000 if quick else 20_000
    groups: dict[str, list[Cell]] = {
        name: [{"width": width, "noise": noise, "examples": 4_000, "updates": updates, **line}
               for width in widths]
        for name, noise in (("noisy", 0.15), ("clean", 0.0))
    }  # fmt: skip
    sizes = (1_000, 4_000) if quick else (500, 1_000, 2_000, 3_000, 4_000, 6_000, 10_000)
    groups["examples"] = [
        {"width": width, "noise": 0.15, "examples": examples, "updates": updates, **line}
        for width in ((47,) if quick else (16, 36, 61))
        for examples in sizes
    ]
    image = {"data": "fashion-mnist", "batch_size": 100, "learning_rate": 0.02, "test": 5_000,
             **shared}  # fmt: skip
    groups["cnn"] = [] if quick else [
        {"width": width, "noise": 0.2, "examples": 2_000, "updates": 8_000, **image}
        for width in (1, 2, 3, 4, 6, 8, 12)
    ]  # fmt: skip
    return groups


def summary(cell: Cell, found: Found) -> dict[str, Any]:
    """A cell with the means over its seeds at the end, and every seed's."""
    return {
        "width": cell["width"],
        "examples": cell["examples"],
        "noise": cell["noise"],
        "train_error": _mean(found["train_error"], -1),
        "test_error": _mean(found["test_error"], -1),
        "seeds": {name: [curve[-1] for curve in found[name]]
                  for name in ("train_error", "test_error")},
        "updates": found["updates"],
        "test_errors": [_mean(found["test_error"], i) for i in range(len(found["updates"]))],
    }  # fmt: skip


def _mean(curves: Sequence[Sequence[float]], at: int) -> float:
    return sum(curve[at] for curve in curves) / len(curves)


def verdict(curve: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether a curve over widths has the shape: a peak near the size that fits, and both sides
    lower by more than three points."""
    error = [point["test_error"] for point in curve]
    heights = [min(error[i] - min(error[:i]), error[i] - min(error[i + 1 :]))
               for i in range(1, len(error) - 1)]  # fmt: skip
    peak = 1 + heights.index(max(heights))
    fits = next((p["width"] for p in curve if p["train_error"] <= FITTED), None)
    width = curve[peak]["width"]
    near = fits is not None and fits / 2 <= width <= fits * 2
    return {
        "peak_width": width,
        "fits_from_width": fits,
        "above_left": error[peak] - min(error[:peak]),
        "above_right": error[peak] - min(error[peak + 1 :]),
        "holds": near and max(heights) > HIGHER,
    }


def complexity(points: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    """Effective model complexity by width: the most examples it fits, of those that were tried."""
    widths = dict.fromkeys(point["width"] for point in points)
    return {
        str(width): max((p["examples"] for p in points
                         if p["width"] == width and p["train_error"] <= COMPLEXITY_ERROR),
                        default=None)
        for width in widths
    }  # fmt: skip


NAMES = {"noisy": "MNIST-1D, 15 % wrong labels", "clean": "MNIST-1D, no wrong labels",
         "cnn": "Fashion-MNIST 14x14, CNNs, 20 % wrong labels"}  # fmt: skip


def page(results: Mapping[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    lines = []
    for name, text in NAMES.items():
        if not results["curves"].get(name):
            continue
        found = results["verdicts"][name]
        lines += [f"### {text}", "", "| width | training error | test error | published |",
                  "|---|---|---|---|"]  # fmt: skip
        for point in results["curves"][name]:
            known = PUBLISHED.get(point["width"]) if name == "noisy" else None
            lines.append(
                f"| {point['width']} | {point['train_error']:.1%} | {point['test_error']:.1%} | "
                f"{'' if known is None else f'{known:.1%}'} |"
            )
        shape = "The shape is there" if found["holds"] else "The shape is **not** there"
        lines += ["", f"{shape}: highest at width {found['peak_width']}, "
                  f"{100 * found['above_left']:.1f} points above the best narrower network and "
                  f"{100 * found['above_right']:.1f} above the best wider one; training error is "
                  f"under {FITTED:.0%} from width {found['fits_from_width']} on.", ""]  # fmt: skip
    lines += ["### More examples", "", "| width | examples | training error | test error |",
              "|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {p['width']} | {p['examples']:,} | {p['train_error']:.1%} | {p['test_error']:.1%} |"
        for p in results["curves"]["examples"]
    ]
    told = ", ".join(f"width {width}: {'fewer than tried' if n is None else f'{n:,}'}"
                     for width, n in results["complexity"].items())  # fmt: skip
    return [*lines, "", f"Effective model complexity (fitted to {COMPLEXITY_ERROR:.0%}): {told}."]


def draw(results: Mapping[str, Any], path: Path) -> None:
    """All curves in one picture."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    curves = results["curves"]
    named = [name for name in NAMES if curves.get(name)]
    figure, axes = new_figure(len(named) + 2, width=4.0 * (len(named) + 2))
    for ax, name in zip(axes, named, strict=False):
        widths = [point["width"] for point in curves[name]]
        for colour, error in zip(COLOURS, ("test_error", "train_error"), strict=False):
            for point in curves[name]:
                each = [100 * e for e in point["seeds"][error]]
                ax.plot([point["width"]] * len(each), each, ".", color=colour, alpha=0.4)
            label = error.replace("_", " ").replace("train ", "training ")
            ax.plot(widths, [100 * p[error] for p in curves[name]], color=colour, label=label)
        if name == "noisy":
            ax.plot(list(PUBLISHED), [100 * e for e in PUBLISHED.values()], "--", color="#777777",
                    label="published test error")  # fmt: skip
        fits = results["verdicts"][name]["fits_from_width"]
        if fits:
            ax.axvline(fits, color="#bbbbbb", linewidth=0.9)
            ax.annotate(" fits", (fits, 1), fontsize=8, color="#777777")
        ax.set(xlabel="width", ylabel="error, percent", xscale="log", ylim=(0, None))
        ax.set_title(NAMES[name], fontsize=10)
        ax.legend(frameon=False, fontsize=8)
    by_update, by_examples = axes[-2:]
    shown = curves["noisy"][:: max(1, len(curves["noisy"]) // 4)]
    for colour, point in zip(COLOURS, shown, strict=False):
        by_update.plot(point["updates"], [100 * e for e in point["test_errors"]], color=colour,
                       label=f"width {point['width']}")  # fmt: skip
    by_update.set(title="on the way", xlabel="updates", ylabel="test error, percent", xscale="log")
    by_update.legend(frameon=False, fontsize=8)
    for colour, width in zip(COLOURS, dict.fromkeys(p["width"] for p in curves["examples"]),
                             strict=False):  # fmt: skip
        points = [p for p in curves["examples"] if p["width"] == width]
        by_examples.plot([p["examples"] for p in points], [100 * p["test_error"] for p in points],
                         "o-", color=colour, label=f"width {width}")  # fmt: skip
    by_examples.set(title="more examples", xlabel="examples", ylabel="test error, percent",
                    xscale="log")  # fmt: skip
    by_examples.legend(frameon=False, fontsize=8)
    save_figure(figure, path)
