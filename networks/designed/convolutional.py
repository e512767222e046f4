"""Networks of the space "cnn": Zoph and Le 2017, arXiv 1611.01578, sections 3.2, 3.3 and 4.1.

A layer is a convolution, batch normalisation and ReLU. The rules by which a design becomes a
network (section 3.3):

    a layer with several inputs       takes them concatenated, along channels
    inputs of different sizes         are padded with zeros to the largest height and width
    a layer without an input          takes the image
    layers that are nobody's input    are concatenated for the classifier

Where the paper is silent: zeros are added on all sides alike (the odd one below and to the right);
a convolution keeps the plane, or divides it by the stride, rounded up; its bias is left out, as the
normalisation shifts; the classifier is an average over the plane and a linear layer. Maps that go
to it are averaged each on its own plane: padded, they would have the same averages but for a
factor, which is the linear layer's to learn.

Legend: B batch, C channels, H W plane, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.base import ImageNetwork
from networks.blocks.initialisation import initialise
from networks.designed.reading import Part

MOST_LAYERS, MOST_FILTERS, LARGEST_SIDE, LARGEST_STRIDE = 200, 4096, 31, 16


@dataclass(frozen=True)
class LayerPlan:
    """A layer, with all that the rules decide."""

    height: int
    width: int
    filters: int
    stride: tuple[int, int]
    inputs: tuple[int, ...]
    """Layers counted from 1; 0 is the image."""
    channels: int
    """Of its inputs together."""


@dataclass(frozen=True)
class Plan:
    """A network as the rules make it of a design."""

    layers: tuple[LayerPlan, ...]
    loose: tuple[int, ...]
    """Layers that go to the classifier, counted from 1."""

    @property
    def num_features(self) -> int:
        """D"""
        return sum(self.layers[i - 1].filters for i in self.loose)


def compile_design(design: Mapping[str, Any], in_channels: int) -> Plan:
    """Apply the rules. Raises UserError for a design that is none of this space."""
    layers: list[LayerPlan] = []
    channels = [in_channels]
    for part in Part(dict(design)).field("layers").items(1, MOST_LAYERS):
        number = len(layers)
        asked = part.field("inputs").items(0, number)
        inputs = tuple(sorted({each.integer(1, number) for each in asked})) or (0,)
        height, width = (part.field(side).integer(1, LARGEST_SIDE) for side in ("height", "width"))
        for side, size in (("height", height), ("width", width)):
            if size % 2 == 0:
                raise part.field(side).wrong("odd")
        down, across = (n.integer(1, LARGEST_STRIDE) for n in part.field("stride").items(2, 2))
        filters = part.field("filters").integer(1, MOST_FILTERS)
        together = sum(channels[i] for i in inputs)
        layers.append(LayerPlan(height, width, filters, (down, across), inputs, together))
        channels.append(filters)
    used = {i for layer in layers for i in layer.inputs}
    loose = tuple(number for number in range(1, len(layers) + 1) if number not in used)
    return Plan(tuple(layers), loose)


class ConvolutionalLayer(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, plan: LayerPlan) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            plan.channels,
            plan.filters,
            (plan.height, plan.width),
            plan.stride,
            (plan.height // 2, plan.width // 2),
            bias=False,
        )
        self.bn = nn.BatchNorm2d(plan.filters)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, filters, H', W']"""
        return torch.relu(self.bn(self.conv(x)))


class DesignedConvolutional(ImageNetwork):
    """Images float [B, C, H, W] of any size to class logits [B, K]."""

    smallest_input = 1

    def __init__(self, design: Mapping[str, Any], in_channels: int, num_classes: int) -> None:
        """Raises UserError for a design that is none of this space."""
        super().__init__()
        self.plan = compile_design(design, in_channels)
        self.num_features = self.plan.num_features
        self.layers = nn.ModuleList(ConvolutionalLayer(layer) for layer in self.plan.layers)
        self.fc = nn.Linear(self.num_features, num_classes)
        initialise(self, "kaiming_normal")

    def forward_features(self, images: Tensor) -> Tensor:
        """Averages of the maps that no layer takes, [B, D]."""
        maps = [images]
        for plan, layer in zip(self.plan.layers, self.layers, strict=True):
            maps.append(layer(concatenated([maps[i] for i in plan.inputs])))
        return torch.cat([maps[i].mean(dim=(2, 3)) for i in self.plan.loose], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.fc(self.forward_features(images))
        return logits


def concatenated(maps: Sequence[Tensor]) -> Tensor:
    """Maps [B, C, H, W] of different C, H and W as one, zeros around the smaller ones."""
    if len(maps) == 1:
        return maps[0]
    height, width = (max(x.shape[side] for x in maps) for side in (2, 3))
    return torch.cat([padded(x, height, width) for x in maps], dim=1)


def padded(x: Tensor, height: int, width: int) -> Tensor:
    """[B, C, H, W] with zeros around it, [B, C, height, width]."""
    rows, columns = height - x.shape[2], width - x.shape[3]
    top, left = rows // 2, columns // 2
    return functional.pad(x, (left, columns - left, top, rows - top))
