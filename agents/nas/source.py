"""A design as readable torch source that needs nothing of Tengen.

Only what the builders of `networks/designed` have checked (whole numbers, and names out of their
tables) gets into the source, never a text of the design's. Names of weights are the builders', but
for those that `renamed` translates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from networks.designed.cell201 import EDGES, read_edges
from networks.designed.convolutional import compile_design
from networks.designed.macro import BLOCKS, STAGE_STARTS, read_blocks
from networks.designed.recurrent_cell import NodePlan, read_cell

HEAD = '''"""{title}

    from model import load

    network = load("weights.safetensors")

{takes}

Found by an architecture search. Needs torch, and safetensors to read the weights.
"""

import torch
from torch import nn
'''

LOAD = '''

def load(path="weights.safetensors"):
    """The network with its weights, ready to be used."""
    from safetensors.torch import load_file

    network = Network()
    network.load_state_dict(load_file(path), strict=True)
    return network.eval()
'''

LAYER = '''from torch.nn import functional as F


def layer(inputs, filters, kernel, stride):
    """Convolution, batch normalisation, ReLU."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, filters, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
    )


def concatenate(*maps):
    """Along channels, with zeros around the smaller ones."""
    height, width = (max(x.shape[side] for x in maps) for side in (2, 3))
    padded = []
    for x in maps:
        rows, columns = height - x.shape[2], width - x.shape[3]
        top, left = rows // 2, columns // 2
        padded.append(F.pad(x, (left, columns - left, top, rows - top)))
    return torch.cat(padded, 1)

'''

CELLS_201 = '''

def convolution(inputs, outputs, kernel, stride=1):
    """ReLU, convolution, batch normalisation."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Reduction(nn.Module):
    """Residual block that halves the plane and doubles the channels."""

    def __init__(self, channels):
        super().__init__()
        self.conv_a = convolution(channels, 2 * channels, 3, stride=2)
        self.conv_b = convolution(2 * channels, 2 * channels, 3)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(channels, 2 * channels, 1, bias=False)
        )

    def forward(self, x):
        return self.shortcut(x) + self.conv_b(self.conv_a(x))

'''

BLOCKS_MACRO = '''

def convolution(inputs, outputs, kernel, stride=1, groups=1):
    """Convolution, batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class InvertedResidual(nn.Module):
    """A 1x1 convolution that widens, a depthwise one, a 1x1 one that narrows."""

    def __init__(self, inputs, outputs, stride, widening, kernel):
        super().__init__()
        wide = widening * inputs
        self.conv = nn.Sequential(
            *convolution(inputs, wide, 1),
            nn.ReLU(),
            *convolution(wide, wide, kernel, stride, groups=wide),
            nn.ReLU(),
            *convolution(wide, outputs, 1),
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return self.conv(x) + x if self.is_residual else self.conv(x)

'''


def source(design: Mapping[str, Any], sizes: Mapping[str, Any]) -> str:
    """The text of model.py, with a class ``Network`` and a function ``load``.

    Args:
        design: of space cnn, nb201, macro or rnn.
        sizes: all fields of the config with which it was built, such as num_classes.

    Raises:
        UserError: the design is none of its space.
    """
    return WRITERS[design["space"]](design, sizes)


def renamed(name: str) -> str:
    """The name in the source of a weight of the builder's."""
    name = re.sub(r"^layers\.(\d+)\.", lambda found: f"layer{int(found[1]) + 1}.", name)
    name = re.sub(r"^(layer\d+)\.conv\.", r"\1.0.", name)
    name = re.sub(r"^(layer\d+)\.bn\.", r"\1.1.", name)
    name = re.sub(r"^fc\.", "classifier.", name)
    return re.sub(r"\.edges\.(\d)>(\d)\.", r".edge\1\2.", name)


def _head(title: str, sizes: Mapping[str, Any]) -> str:
    takes = (
        f"Takes images float [B, {sizes['in_channels']}, H, W], gives logits of "
        f"{sizes['num_classes']} classes [B, {sizes['num_classes']}]."
    )
    return HEAD.format(title=title, takes=takes)


def _network(init: Sequence[str], forward: Sequence[str], arguments: str = "images") -> str:
    """The class of the whole network."""
    lines = [
        "",
        "class Network(nn.Module):",
        "    def __init__(self):",
        "        super().__init__()",
        *(f"        {line}" for line in init),
        "",
        f"    def forward(self, {arguments}):",
        *(f"        {line}" for line in forward),
    ]
    return "\n".join(lines) + "\n"


def _convolutional(design: Mapping[str, Any], sizes: Mapping[str, Any]) -> str:
    plan = compile_design(design, sizes["in_channels"])
    init, forward = [], []
    for number, layer in enumerate(plan.layers, start=1):
        init.append(
            f"self.layer{number} = layer({layer.channels}, {layer.filters}, "
            f"({layer.height}, {layer.width}), {layer.stride})"
        )
        inputs = ", ".join(f"x{i}" if i else "images" for i in layer.inputs)
        inputs = f"concatenate({inputs})" if len(layer.inputs) > 1 else inputs
        forward.append(f"x{number} = self.layer{number}({inputs})")
    init.append(f"self.classifier = nn.Linear({plan.num_features}, {sizes['num_classes']})")
    forward.append("# What no layer takes, each averaged over its plane.")
    forward.append("features = torch.cat([")
    forward += [f"    x{i}.mean((2, 3))," for i in plan.loose]
    forward += ["], 1)", "return self.classifier(features)"]
    title = f"A convolutional network of {len(plan.layers)} layers."
    return _head(title, sizes) + LAYER + _network(init, forward) + LOAD


def _cell201(design: Mapping[str, Any], sizes: Mapping[str, Any]) -> str:
    edges = read_edges(design)
    modules = {
        "conv1x1": "convolution(channels, channels, 1)",
        "conv3x3": "convolution(channels, channels, 3)",
        "avgpool3x3": "nn.AvgPool2d(3, 1, 1, count_include_pad=False)",
    }
    init = [
        f"self.edge{edge[0]}{edge[2]} = {modules[edges[edge]]}"
        for edge in EDGES
        if edges[edge] in modules
    ]
    forward = []
    for node in range(1, 4):
        terms = []
        for start in range(node):
            name = edges[f"{start}>{node}"]
            if name != "none":
                call = f"self.edge{start}{node}(node{start})"
                terms.append(f"node{start}" if name == "skip" else call)
        forward.append(f"node{node} = {' + '.join(terms) or 'torch.zeros_like(node0)'}")
    forward.append("return node3")
    cell = _network(init, forward, "node0").replace("class Network", "class Cell")
    cell = cell.replace("__init__(self)", "__init__(self, channels)")
    return (
        _head("A network of NAS-Bench-201 (arXiv 2001.00326).", sizes)
        + CELLS_201
        + cell
        + "\n"
        + _skeleton201(sizes)
        + LOAD
    )


def _skeleton201(sizes: Mapping[str, Any]) -> str:
    channels = sizes["channels"] or 16
    init = [
        "self.stem = nn.Sequential(",
        f"    nn.Conv2d({sizes['in_channels']}, {channels}, 3, padding=1, bias=False), "
        f"nn.BatchNorm2d({channels})",
        ")",
        "self.cells = nn.Sequential(",
    ]
    for stage in range(3):
        if stage:
            init.append(f"    Reduction({channels * 2 ** (stage - 1)}),")
        init += [f"    Cell({channels * 2**stage}),"] * sizes["cells"]
    init += [
        ")",
        f"self.last = nn.BatchNorm2d({4 * channels})",
        f"self.classifier = nn.Linear({4 * channels}, {sizes['num_classes']})",
    ]
    forward = [
        "maps = self.cells(self.stem(images))",
        "return self.classifier(torch.relu(self.last(maps)).mean((2, 3)))",
    ]
    return _network(init, forward)


def _macro(design: Mapping[str, Any], sizes: Mapping[str, Any]) -> str:
    width = sizes["channels"] or 32
    features = 40 * width
    init = [
        f"self.stem = nn.Sequential(*convolution({sizes['in_channels']}, {width}, 3), nn.ReLU())",
        "self.blocks = nn.Sequential(",
    ]
    for number, name in enumerate(read_blocks(design)):
        first = number in STAGE_STARTS
        inputs, width, stride = width, width * (1 + first), 1 + first
        widening, kernel = BLOCKS[name]
        if widening:
            made = f"InvertedResidual({inputs}, {width}, {stride}, {widening}, {kernel})"
        elif first:
            made = f"nn.Sequential(*convolution({inputs}, {width}, 1, {stride}))"
        else:
            made = "nn.Identity()"
        init.append(f"    {made},")
    init += [
        ")",
        f"self.out = nn.Sequential(*convolution({width}, {features}, 1), nn.ReLU())",
        f"self.classifier = nn.Linear({features}, {sizes['num_classes']})",
    ]
    forward = [
        "maps = self.out(self.blocks(self.stem(images)))",
        "return self.classifier(maps.mean((2, 3)))",
    ]
    title = "A network of NAS-Bench-Macro (arXiv 2103.11922)."
    return _head(title, sizes) + BLOCKS_MACRO + _network(init, forward) + LOAD


def _combined(node: NodePlan, left: str, right: str) -> str:
    return f"{left} {'+' if node.combination == 'add' else '*'} {right}"


def _activated(node: NodePlan, value: str) -> str:
    return value if node.activation == "identity" else f"torch.{node.activation}({value})"


def _recurrent(design: Mapping[str, Any], sizes: Mapping[str, Any]) -> str:
    plan = read_cell(design)
    width, leaves = sizes["width"], plan.leaves
    init = [f"self.{name} = nn.Linear({width}, {leaves * width}, bias=False)"
            for name in ("inputs", "hidden")]  # fmt: skip
    forward = [
        "# What the leaves make of the input and of the output before.",
        f"x = x.chunk({leaves}, 1)",
        f"u = self.hidden(h).chunk({leaves}, 1)",
    ]
    leaf = 0
    for number, node in enumerate(plan.nodes):
        left, right = (
            (f"a{i}" for i in node.inputs) if node.inputs else (f"x[{leaf}]", f"u[{leaf}]")
        )
        leaf += not node.inputs
        value = _combined(node, left, right)
        if number == plan.cell_node:
            forward.append(f"new = {value}")
            value = "new"
        forward.append(f"a{number} = {_activated(node, value)}")
        if number == plan.inject_node:
            value = _combined(plan.inject, f"a{number}", "c")
            forward.append(f"a{number} = {_activated(plan.inject, value)}")
    forward.append(f"return a{len(plan.nodes) - 1}, new")
    cell = _network(init, forward, "x, h, c").replace("class Network", "class Cell")
    takes = (
        f"Takes tokens int64 [B, T] under {sizes['vocabulary']}, and the last call's state;\n"
        "gives logits of the next tokens and the state to go on from."
    )
    head = HEAD.format(title="A language model of recurrent cells.", takes=takes)
    return head + "\n" + cell + "\n" + _language_model(sizes) + LOAD


def _language_model(sizes: Mapping[str, Any]) -> str:
    width, layers, vocabulary = sizes["width"], sizes["layers"], sizes["vocabulary"]
    init = [
        f"self.embedding = nn.Embedding({vocabulary}, {width})",
        f"self.cells = nn.ModuleList([{', '.join(['Cell()'] * layers)}])",
        f"self.dropout = nn.Dropout({float(sizes['dropout'])})",
        f"self.output = nn.Linear({width}, {vocabulary})",
        *(["self.output.weight = self.embedding.weight"] if sizes["tied"] else []),
    ]
    forward = [
        "features = self.embedding(tokens)",
        "if state is None:",
        f"    zeros = features.new_zeros({layers}, len(tokens), {width})",
        "    state = zeros, zeros",
        "ends = []",
        "for cell, h, c in zip(self.cells, *state):",
        "    outputs = []",
        "    for x in cell.inputs(self.dropout(features)).unbind(1):",
        "        h, c = cell(x, h, c)",
        "        outputs.append(h)",
        "    features = torch.stack(outputs, 1)",
        "    ends.append((h, c))",
        "state = tuple(torch.stack(part) for part in zip(*ends))",
        "return self.output(self.dropout(features)), state",
    ]
    return _network(init, forward, "tokens, state=None")


WRITERS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], str]] = {
    "cnn": _convolutional,
    "nb201": _cell201,
    "macro": _macro,
    "rnn": _recurrent,
}
