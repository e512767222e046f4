"""Pictures of results: learning curves with reference lines, and scores with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette, told apart by colour-blind readers too."""
LINES = ("solid", "dashed", "dotted", "dashdot")
"""With more groups than colours, the next kind of line begins."""
LEGEND_ROWS = 12
FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Curve:
    """One run: scores, when they were made, and the group it belongs to."""

    group: str
    at: np.ndarray
    """Agent steps, or whatever the axis says; as many as there are scores."""
    scores: np.ndarray


def learning_curves(
    curves: Sequence[Curve],
    path: Path,
    title: str,
    ylabel: str,
    references: Mapping[str, float] | None = None,
    xlabel: str = "agent steps",
) -> None:
    """Draw runs over agent steps or time, with the mean of every group of several.

    Args:
        curves: runs; the same group has the same colour.
        path: .png, .svg or .pdf.
        title, ylabel: texts.
        references: label to score, drawn as horizontal lines.
        xlabel: what the curves' places mean.

    Raises:
        UserError: another kind of file, or nothing to draw.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"a picture's name ends in {', '.join(FORMATS)}; got {path.name}")
    if not curves:
        raise UserError("there is nothing to draw yet: no run has been evaluated")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120, layout="constrained")
    groups = list(dict.fromkeys(curve.group for curve in curves))
    for number, group in enumerate(groups):
        colour = COLOURS[number % len(COLOURS)]
        line = LINES[number // len(COLOURS) % len(LINES)]
        _draw_group(axes, [c for c in curves if c.group == group], group, colour, line)
    for label, score in (references or {}).items():
        axes.axhline(score, color="#777777", linewidth=0.9, linestyle=(0, (4, 3)))
        axes.annotate(
            label,
            (0.995, score),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            ha="right",
            va="bottom",
            color="#555555",
        )
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if max(curve.at.max() for curve in curves) >= 1000:  # else "50 m" would be 0.05
        axes.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    columns = 1 + (len(groups) - 1) // LEGEND_ROWS
    axes.legend(loc="upper left", frameon=False, fontsize=9, ncols=columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


def _draw_group(axes: Any, curves: Sequence[Curve], group: str, colour: str, line: str) -> None:
    several = len(curves) > 1
    for curve in curves:
        axes.plot(
            curve.at,
            curve.scores,
            color=colour,
            linestyle=line,
            alpha=0.35 if several else 1.0,
            linewidth=1.0 if several else 1.8,
            label=None if several else group,
        )
    if several:
        end = min(curve.at[-1] for curve in curves)
        grid = np.linspace(max(curve.at[0] for curve in curves), end, 200)
        values = np.stack([np.interp(grid, c.at, c.scores) for c in curves])
        axes.plot(
            grid,
            values.mean(axis=0),
            color=colour,
            linestyle=line,
            linewidth=2.0,
            label=f"{group} (mean of {len(curves)})",
        )
        axes.fill_between(
            grid, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.12, linewidth=0
        )
