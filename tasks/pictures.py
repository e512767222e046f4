"""Results as pictures, uint8 arrays: a grid of images, a confusion matrix, a map of attention.

Legend: N images, C channels, H W plane, K classes, S T source and target time.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.files.atomic import replace_file

LONGEST_LABEL = 14
WRITTEN_CLASSES = 20
"""With more classes a confusion matrix has no numbers in it."""


def grid(pixels: np.ndarray, columns: int = 8, scale: int = 0) -> np.ndarray:
    """Images side by side, in rows, with a dark line between.

    Args:
        pixels: uint8 [N, C, H, W], C 1 or 3; others show their first channel.
        columns: images in a row.
        scale: of each pixel; 0 for one at which an image has 32 pixels or more.

    Returns:
        uint8 [rows, width] or [rows, width, 3].
    """
    if pixels.shape[1] != 3:
        pixels = pixels[:, :1]
    scale = scale or max(1, 32 // pixels.shape[2])
    pixels = pixels.repeat(scale, axis=2).repeat(scale, axis=3)
    columns = min(columns, len(pixels))
    number, channels, height, width = pixels.shape
    rows = -(-number // columns)
    sheet = np.full((rows * (height + 1), columns * (width + 1), channels), 40, np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return sheet if channels == 3 else sheet[:, :, 0]


def confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """What each class was taken for; colours are shares of the row.

    Args:
        counts: int64 [K, K], true class by predicted class.
        classes: K names.
    """
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    number = len(classes)

    def draw(axes: Any) -> None:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set(xlabel="taken for", ylabel="is")
        if number > WRITTEN_CLASSES:
            return
        _name_axes(axes, classes, classes)
        for row, column in np.ndindex(number, number):
            if counts[row, column]:
                dark = shares[row, column] > 0.5
                axes.text(
                    column, row, str(counts[row, column]), ha="center", va="center",
                    fontsize=7, color="white" if dark else "black",
                )  # fmt: skip

    side = 2.2 + 0.45 * min(number, WRITTEN_CLASSES)
    return _drawn(draw, side, side)


def attention_map(weights: np.ndarray, source: Sequence[str], target: Sequence[str]) -> np.ndarray:
    """Where the translation of a sentence came from.

    Args:
        weights: float [T, S], how much each target token looked at each source token.
        source: S tokens as text.
        target: T tokens as text.
    """

    def draw(axes: Any) -> None:
        axes.imshow(weights, cmap="gray", vmin=0, vmax=max(1e-9, float(weights.max())))
        _name_axes(axes, source, target)
        axes.xaxis.tick_top()

    return _drawn(draw, 1.8 + 0.28 * len(source), 1.6 + 0.26 * len(target))


def _name_axes(axes: Any, columns: Sequence[str], rows: Sequence[str]) -> None:
    axes.set_xticks(range(len(columns)), [_label(c) for c in columns], rotation=90, fontsize=8)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8)


def _label(text: str) -> str:
    """Short enough, and never read as mathematics, which a dollar sign would begin."""
    text = text.encode("utf-8", "replace").decode()  # half characters, as in names of files
    return text[:LONGEST_LABEL].strip().replace("$", r"\$")


def _drawn(draw: Callable[[Any], None], width: float, height: float) -> np.ndarray:
    """The same with one pair of axes."""
    return figure_pixels(lambda figure: draw(figure.add_subplot()), width, height)


def figure_pixels(draw: Callable[[Any], None], width: float, height: float) -> np.ndarray:
    """What is drawn into a figure of that many inches, as pixels, uint8 [H, W, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    draw(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script that the font lacks
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture, uint8 [H, W] or [H, W, 3]. Raises OSError."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    replace_file(path, [buffer.getvalue()])
