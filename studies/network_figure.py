"""What the pictures of image and of language networks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def short(number: float) -> str:
    """Three digits and a prefix: 25.6 M."""
    for prefix in ("", " k", " M"):
        if number < 999.5:
            return f"{number:.3g}{prefix}"
        number /= 1000
    return f"{number:.3g} G"


def new_figure(width: float, heights: Sequence[float], columns: int) -> tuple[Any, Any]:
    """A figure and its axes, a row for each of the heights; in inches."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(
        len(heights), columns, figsize=(width, sum(heights) + 0.35), dpi=110, squeeze=False,
        height_ratios=heights, layout="constrained",
    )  # fmt: skip


def save(figure: Any, legend: Mapping[str, str], path: Path) -> None:
    """Write a figure in few colours, which takes a third of the bytes, and forget it."""
    from matplotlib import pyplot
    from matplotlib.patches import Patch
    from PIL import Image

    handles = [Patch(color=colour, label=name) for name, colour in legend.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    pyplot.close(figure)
