"""Pictures of the architectures, drawn from the networks themselves.

    image networks       a block for each layer or module: its height is the side of the plane
                         (logarithmic), its width the channels (square root); branches lie above
                         each other in it; numbers are sums over the blocks of one plane
    language networks    parameters and multiply-accumulates of each part, from tokens to logits

    python -m studies.network_shapes --out docs/networks/pictures

Legend: C channels, H W plane, T time, D features.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log2, sqrt
from pathlib import Path
from typing import Any

import torch
from torch import nn

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from commands.options import parse_program
from core.lanes import ObservationSpec
from core.report.plots import COLOURS
from networks.registry import TORSOS, build_network, build_torso, find_family, network_config
from studies.network_bars import draw_texts
from studies.network_figure import new_figure, save, short
from studies.network_trace import Part, Trace, trace

PICTURES: dict[str, dict[str, tuple[int, ...]]] = {
    "lenet": {"lenet5": (32, 32)},
    "alexnet": {"alexnet2012": (224, 224), "alexnet": (224, 224)},
    "vgg": {"vgg11": (224, 224), "vgg16": (224, 224)},
    "googlenet": {"googlenet": (224, 224)},
    "inception": {"inception_v4": (299, 299), "inception_resnet_v2": (299, 299)},
    "highway": {"highway": (28, 28), "plain": (28, 28)},
    "resnet": {"resnet18": (224, 224), "resnet50": (224, 224)},
    "resnet-small": {"resnet20": (32, 32), "resnet56": (32, 32)},
    "neural-ode": {"odenet": (28, 28), "odenet_resnet": (28, 28)},
    "lstm": {"lstm_small": (35,), "lstm_large": (35,)},
    "seq2seq": {"rnnsearch": (50,), "rnnencdec": (50,)},
    "transformer": {"transformer_base": (50,)},
    "gpt": {"gpt2": (1024,)},
    "bert": {"bert_base": (512,)},
    "torsos": dict.fromkeys(("dqn2013", "nature", "impala", "transformer"), (84, 84)),
}  # fmt: skip
"""Presets of each picture, and what they see: H and W of an image, or T of a text."""
FRAMES = 4
"""In an observation of a torso."""


@dataclass(frozen=True)
class Options:
    """Draw the architectures."""

    out: str = "runs/studies/network-shapes"
    """Folder of the pictures."""
    only: str = ""
    """Draw this picture alone."""


def main(argv: Sequence[str] | None = None) -> None:
    """Draw every picture."""
    options = parse_program(Options, "python -m studies.network_shapes", argv)
    for picture, presets in PICTURES.items():
        if options.only in ("", picture):
            traces = {name: look_inside(name, size) for name, size in presets.items()}
            draw = draw_images if len(next(iter(presets.values()))) == 2 else draw_texts
            draw(traces, presets, Path(options.out) / f"{picture}.png")


def look_inside(name: str, size: tuple[int, ...]) -> Trace:
    """Build a network and call it on one example of this size."""
    if name in TORSOS:
        with torch.device("meta"):
            torso = build_torso(name, ObservationSpec(size, "uint8", FRAMES))
            return trace(torso, [torch.zeros(1, FRAMES, *size, dtype=torch.uint8)])
    ode = name == "odenet"  # its solver needs numbers; one step of Euler's calls f once
    with torch.device("cpu" if ode else "meta"):
        network = build_network(name, **({"solver": "euler", "step_size": 1.0} if ode else {}))
        if len(size) == 2:
            return trace(network, [torch.zeros(1, network_config(name).in_channels, *size)])
        tokens = torch.zeros(1, *size, dtype=torch.int64)
        translates = find_family(name).kind == "translation"
        return trace(network, [tokens, tokens == 0, tokens] if translates else [tokens])


HEIGHT, LEFT, GAP = 1.3, 1.15, 0.03
"""Inches: of the tallest block, left of the first one, and between blocks."""
LINES = ("plane", "channels", "parameters", "multiply-adds")
LINE, FIRST_LINE = 0.17, -0.85
"""Inches from line to line, and of the first one below the middle of the blocks."""
FIXED = {"Conv2d": COLOURS[0], "ConvNormActivation": COLOURS[0], "Linear": COLOURS[4]}
INPUT = "#999999"
FREE = (COLOURS[1], COLOURS[2], COLOURS[3], COLOURS[5])


def blocks(found: Trace) -> list[Part]:
    """Layers and modules with arithmetic; parameters of others, norms, go to the one before."""
    parts: list[Part] = []
    for path in opened(found.network, ""):
        part = found.part(path)
        if part.operations:
            parts.append(part)
        elif parts:
            parts[-1].parameters += part.parameters
    return parts


def opened(module: nn.Module, path: str) -> Iterator[str]:
    """Names of a module's children, with those of sequences, and of an only child, for them."""
    children = list(module.named_children())
    for name, child in children:
        inner = f"{path}.{name}".lstrip(".")
        if isinstance(child, nn.Sequential) or (len(children) == 1 and not path):
            yield from opened(child, inner)
        else:
            yield inner


def side(shape: tuple[int, ...]) -> float:
    """Of a plane [C, H, W]; of tokens [T, D] as a square; 1 for features [D]."""
    return {1: 1.0, 2: sqrt(shape[0]), 3: float(shape[-1])}[len(shape)]


def channels(shape: tuple[int, ...]) -> int:
    """C or D."""
    return shape[-1] if len(shape) == 2 else shape[0]


def branches(found: Trace, part: Part) -> list[int]:
    """Channels of the children that together make a part's output; else its own alone."""
    children = found.network.get_submodule(part.path).named_children()
    shapes = [found.shapes.get(f"{part.path}.{name}", ()) for name, _ in children]
    counts = [shape[0] for shape in shapes if shape[1:] == part.shape[1:]]
    return counts if sum(counts) == channels(part.shape) else [channels(part.shape)]


def columns(strip: Sequence[Part], scale: float) -> list[tuple[list[Part], float]]:
    """Blocks in a row whose planes are equal, and the inches that they and their text take."""
    groups = [list(group) for _, group in groupby(strip, key=lambda part: side(part.shape))]
    wide = [sum(scale * sqrt(channels(p.shape)) + GAP for p in group) for group in groups]
    return [(group, max(0.6, inches) + 0.2) for group, inches in zip(groups, wide, strict=True)]


def draw_images(
    traces: Mapping[str, Trace], sizes: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """One strip of blocks for each network, all at one scale."""
    strips = [blocks(found) for found in traces.values()]
    roots = [[sqrt(channels(part.shape)) for part in strip] for strip in strips]
    scale = min(5.0 / max(map(sum, roots)), 0.9 / max(map(max, roots)))
    kinds = dict.fromkeys(part.kind for strip in strips for part in strip)
    free = iter(FREE)
    colours = {kind: FIXED.get(kind) or next(free) for kind in kinds}
    width = LEFT + max(sum(inches for _, inches in columns(strip, scale)) for strip in strips)
    width = max(width, 6.0)
    figure, axes = new_figure(width, [2.5] * len(strips), 1)
    for axis, name, strip in zip(axes[:, 0], traces, strips, strict=True):
        total = traces[name].part()
        axis.set_title(
            f"{name}: {total.parameters:,} parameters, {short(total.operations)} multiply-adds "
            f"for {'×'.join(map(str, sizes[name]))}",
            fontsize=10,
            loc="left",
        )
        axis.set(xlim=(0, width), ylim=(-1.5, HEIGHT / 2 + 0.05), aspect="equal")
        axis.axis("off")
        axis.bar(LEFT - 0.2, HEIGHT, 0.04, -HEIGHT / 2, color=INPUT)
        left = LEFT
        write(axis, 0, LINES)
        for group, inches in columns(strip, scale):
            write(axis, left, column_text(group))
            at = left
            for part in group:
                wide = scale * sqrt(channels(part.shape))
                tall = HEIGHT * log2(side(part.shape) + 1) / log2(sizes[name][-1] + 1)
                draw_block(axis, at, wide, tall, branches(traces[name], part), colours[part.kind])
                at += wide + GAP
            left += inches
    save(figure, {"input": INPUT, **colours}, path)


def draw_block(
    axis: Any, left: float, wide: float, tall: float, counts: Sequence[int], colour: str
) -> None:
    """A rectangle, cut into branches by their channels."""
    base, gap = -tall / 2, 0.02 if len(counts) > 1 else 0.0
    for count in counts:
        share = tall * count / sum(counts)
        axis.bar(left, share - gap, wide, base + gap / 2, color=colour, align="edge")
        base += share


def write(axis: Any, x: float, texts: Sequence[str]) -> None:
    """Texts below the blocks, in the order of `LINES`."""
    for row, text in enumerate(texts):
        axis.text(x, FIRST_LINE - LINE * row, text, fontsize=8, color="#333333", va="center")


def column_text(group: Sequence[Part]) -> tuple[str, ...]:
    """The numbers of a column, in the order of `LINES`."""
    shape = group[-1].shape
    plane = {1: "none", 2: f"{shape[0]} tokens", 3: "×".join(map(str, shape[1:]))}[len(shape)]
    counts = [channels(part.shape) for part in group]
    ends = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    sums = (sum(part.parameters for part in group), sum(part.operations for part in group))
    return plane, ends, short(sums[0]), short(sums[1])


if __name__ == "__main__":
    main()
