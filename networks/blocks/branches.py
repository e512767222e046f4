"""Networks of parallel branches as tables (Szegedy et al. 2014, arXiv 1409.4842, and after).

    Conv                   a convolution with its normalisation and activation (conv.py)
    a list of layers       one after another
    a dict of layers       side by side on the same input, their maps concatenated in its order
    a function             of no arguments, that makes a layer which keeps the channels: a pool

So an Inception module is a dict of lists, and its parameters have the names in the dict. Tables
say output channels alone; input channels follow.

Legend: B batch, H W plane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from networks.blocks.conv import Conv, ConvNormActivation, Style

Layer: TypeAlias = "Conv | Sequence[Layer] | Mapping[str, Layer] | Callable[[], nn.Module]"

HALVE = partial(nn.MaxPool2d, 3, stride=2)
"""The greatest of 3x3 pixels, at every second one."""
AVERAGE = partial(nn.AvgPool2d, 3, stride=1, padding=1, count_include_pad=False)
"""The mean of 3x3 pixels, or of those that are inside the plane."""


class Branches(nn.Module):
    """Layers side by side on the same input, their maps concatenated."""

    def __init__(self, inputs: int, branches: Mapping[str, Layer], style: Style) -> None:
        """Raises UserError for an unknown activation or normalisation."""
        super().__init__()
        self.names = tuple(branches)
        self.outputs = 0
        """Channels of all branches together."""
        for name, layer in branches.items():
            module, outputs = build_layer(layer, inputs, style)
            self.add_module(name, module)
            self.outputs += outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H', W']"""
        return torch.cat([self.get_submodule(name)(x) for name in self.names], dim=1)


def build_layer(layer: Layer, inputs: int, style: Style) -> tuple[nn.Module, int]:
    """The module that a table describes, and its output channels.

    Args:
        layer: the table.
        inputs: channels of the input.
        style: what follows every convolution.

    Raises:
        UserError: unknown activation or normalisation.
    """
    if isinstance(layer, Conv):
        return ConvNormActivation(inputs, layer, style), layer.outputs
    if isinstance(layer, Mapping):
        branches = Branches(inputs, layer, style)
        return branches, branches.outputs
    if isinstance(layer, Sequence):
        modules = []
        for part in layer:
            module, inputs = build_layer(part, inputs, style)
            modules.append(module)
        return nn.Sequential(*modules), inputs
    return layer(), inputs
