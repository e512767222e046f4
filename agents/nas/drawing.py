"""A design as a picture: boxes and arrows, the input at the bottom, the output at the top."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from networks.designed.cell201 import EDGES, read_edges
from networks.designed.convolutional import compile_design
from networks.designed.macro import STAGE_STARTS, read_blocks
from networks.designed.recurrent_cell import read_cell
from networks.designed.registered import read_options

LAYER, END, MEMORY = "#cfe3f5", "#eeeeee", "#f8dfb8"
SYMBOLS = {"add": "+", "multiply": "\N{MULTIPLICATION SIGN}"}
LINE = "#555555"
TEXT: dict[str, Any] = {"fontsize": 8, "ha": "center", "va": "center"}
ROWS_OF_AN_INCH = 1.6


@dataclass
class Drawing:
    """Boxes by name, and arrows between them."""

    boxes: dict[str, tuple[float, float, str, str]] = field(default_factory=dict)
    """Across, up, text, colour."""
    arrows: list[tuple[str, str, str, float]] = field(default_factory=list)
    """From, to, text, how much it bends."""

    def box(self, name: str, across: float, up: float, text: str, colour: str = LAYER) -> None:
        """Add a box."""
        self.boxes[name] = (across, up, text, colour)

    def arrow(self, start: str, end: str, text: str = "", bend: float = 0.0) -> None:
        """Add an arrow."""
        self.arrows.append((start, end, text, bend))


def drawing(design: Mapping[str, Any]) -> Drawing:
    """What is to be drawn. Raises UserError for what is no design."""
    return DRAWINGS[design["space"]](design)


def draw(design: Mapping[str, Any], path: Path) -> None:
    """Write a picture of a design; the ending of its name says the format.

    Args:
        design: of any space.
        path: .png, .svg or .pdf.

    Raises:
        UserError: the design is none of its space.
    """
    _figure(drawing(design)).savefig(path)


def picture(design: Mapping[str, Any]) -> np.ndarray:
    """The same as pixels, uint8 [H, W, 3]. Raises UserError for what is no design."""
    figure = _figure(drawing(design))
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()


def _figure(plan: Drawing) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = [box[0] for box in plan.boxes.values()]
    up = [box[1] for box in plan.boxes.values()]
    size = (max(5.0, 1.4 * (max(across) - min(across)) + 3), max(3.0, max(up) / ROWS_OF_AN_INCH))
    figure: Any = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(min(across) - 1.2, max(across) + 1.2), ylim=(-0.6, max(up) + 0.6))
    axes.set_axis_off()
    labels = {}
    for name, (x, y, text, colour) in plan.boxes.items():
        box = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": LINE}
        labels[name] = axes.text(x, y, text, bbox=box, **TEXT)
    figure.draw_without_rendering()  # arrows end at boxes, whose sizes are known then
    for start, end, text, bend in plan.arrows:
        (x0, y0), (x1, y1) = plan.boxes[start][:2], plan.boxes[end][:2]
        style = {
            "arrowstyle": "-|>",
            "color": LINE,
            "connectionstyle": f"arc3,rad={bend}",
            "patchA": labels[start].get_bbox_patch(),
            "patchB": labels[end].get_bbox_patch(),
        }
        axes.annotate("", (x1, y1), (x0, y0), arrowprops=style, zorder=2)
        if text:
            # Before the middle, where arrows cross.
            place = x0 + 0.35 * (x1 - x0), y0 + 0.35 * (y1 - y0)
            axes.text(*place, text, backgroundcolor="white", **TEXT)
    return figure


def _convolutional(design: Mapping[str, Any]) -> Drawing:
    plan = compile_design(design, in_channels=1)
    found = Drawing()
    found.box("0", 0, 0, "image", END)
    for number, layer in enumerate(plan.layers, start=1):
        stride = "" if layer.stride == (1, 1) else f", stride {layer.stride[0]}, {layer.stride[1]}"
        text = f"{number}: {layer.height}x{layer.width}, {layer.filters} filters{stride}"
        found.box(str(number), 0, number, text)
        for i in layer.inputs:
            _arc(found, i, number)
    found.box(str(len(plan.layers) + 1), 0, len(plan.layers) + 1, "average, linear layer", END)
    for i in plan.loose:
        _arc(found, i, len(plan.layers) + 1)
    return found


def _arc(found: Drawing, start: int, end: int) -> None:
    """Straight to the next, around those between: odd ones on the right, even ones on the left."""
    bend = 0.0 if end == start + 1 else 0.45 if end % 2 else -0.45
    found.arrow(str(start), str(end), bend=bend)


def _cell201(design: Mapping[str, Any]) -> Drawing:
    places = {
        "0": (0, 0, "0: input"),
        "1": (-2, 2, "1"),
        "2": (2, 3.5, "2"),
        "3": (0, 5.5, "3: output"),
    }
    found = Drawing()
    for node, (across, up, text) in places.items():
        found.box(node, across, up, text, END if len(text) > 1 else LAYER)
    for edge, operation in zip(EDGES, read_edges(design).values(), strict=True):
        if operation != "none":
            found.arrow(edge[0], edge[2], operation)
    return found


def _macro(design: Mapping[str, Any]) -> Drawing:
    found = Drawing()
    found.box("0", 0, 0, "image, 3x3 convolution", END)
    width = 1
    for number, name in enumerate(read_blocks(design)):
        first = number in STAGE_STARTS
        width *= 1 + first
        text = f"{name}, stride 2, to {width}C" if first else name
        found.box(str(number + 1), 0, number + 1, text)
        found.arrow(str(number), str(number + 1))
    found.box("9", 0, 9, "1x1 convolution, average, linear layer", END)
    found.arrow("8", "9")
    return found


def _recurrent(design: Mapping[str, Any]) -> Drawing:
    plan = read_cell(design)
    found = Drawing()
    places: list[tuple[float, float]] = []
    for number, node in enumerate(plan.nodes):
        below = [places[i] for i in node.inputs]
        across = sum(x for x, _ in below) / 2 if below else 2.0 * number
        up = max((y for _, y in below), default=0.0) + 1.5
        places.append((across, up))
        text = f"{number}: {SYMBOLS[node.combination]} {node.activation}"
        if number == plan.inject_node:
            inject = plan.inject
            text += f"\n{SYMBOLS[inject.combination]} old c, {inject.activation}"
        if number == plan.cell_node:
            text += "\nnew c before activation"
        marked = number in (plan.inject_node, plan.cell_node)
        found.box(str(number), across, up, text, MEMORY if marked else LAYER)
        if not node.inputs:
            found.box(f"in {number}", across, 0, "x, h", END)
            found.arrow(f"in {number}", str(number))
        for i in node.inputs:
            found.arrow(str(i), str(number))
    found.box("h", places[-1][0], places[-1][1] + 1.2, "new h", END)
    found.arrow(str(len(plan.nodes) - 1), "h")
    return found


def _registered(design: Mapping[str, Any]) -> Drawing:
    found = Drawing()
    options = "".join(f"\n{name}: {value}" for name, value in read_options(design).items())
    found.box("in", 0, 0, "input", END)
    found.box("network", 0, 2, f"{design['network']}{options}")
    found.box("out", 0, 4, "output", END)
    found.arrow("in", "network")
    found.arrow("network", "out")
    return found


DRAWINGS: dict[str, Callable[[Mapping[str, Any]], Drawing]] = {
    "cnn": _convolutional,
    "nb201": _cell201,
    "macro": _macro,
    "rnn": _recurrent,
    "zoo": _registered,
}
