"""Networks of NAS-Bench-201, the space "nb201": Dong and Yang 2020, arXiv 2001.00326.

A cell has four nodes; each is the sum of what operations on its edges make of the nodes before it.

    stem     3x3 convolution and batch normalisation                  C channels
    stage    N cells                                                  C, H x W
    reduce   a residual block of stride 2                             2C
    stage    N cells                                                  2C, H/2 x W/2
    reduce   a residual block of stride 2                             4C
    stage    N cells                                                  4C, H/4 x W/4
    head     batch normalisation, ReLU, average, linear layer

The benchmark has C = 16 and N = 5, and its authors' code decides where the paper is silent: a
convolution is ReLU, convolution, batch normalisation; a cell's operations have weights even where
no way leads from them to its output, and they are counted. Initial weights are torch's.

Deviation: sides that are odd are halved rounding up, so that images of any size pass.

Legend: B batch, C channels, H W plane, D features, K classes, N cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from networks.base import ImageNetwork
from networks.designed.reading import Part

OPERATIONS = ("none", "skip", "conv1x1", "conv3x3", "avgpool3x3")
EDGES = ("0>1", "0>2", "1>2", "0>3", "1>3", "2>3")
"""From node to node. Node 0 is the cell's input, 3 its output."""


def read_edges(design: Mapping[str, Any]) -> dict[str, str]:
    """The operation of each edge. Raises UserError for a design that is none of this space."""
    edges = Part(dict(design)).field("edges")
    return {edge: edges.field(edge).one_of(OPERATIONS) for edge in EDGES}


class ReluConvNorm(nn.Sequential):
    """ReLU, convolution that keeps the plane or halves it, batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )


def operation(name: str, channels: int) -> nn.Module:
    """What stands on an edge; not for "none", which brings nothing."""
    if name == "skip":
        return nn.Identity()
    if name == "avgpool3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return ReluConvNorm(channels, channels, 1 if name == "conv1x1" else 3)


class Cell(nn.Module):
    """Four nodes, six edges."""

    def __init__(self, edges: Mapping[str, str], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {edge: operation(name, channels) for edge, name in edges.items() if name != "none"}
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        nodes = [x]
        for node in range(1, 4):
            brought = [
                self.edges[f"{start}>{node}"](nodes[start])
                for start in range(node)
                if f"{start}>{node}" in self.edges
            ]
            # Zeros that depend on the input, so that the weights before the cell have gradients.
            total = brought[0] if brought else x * 0
            for one in brought[1:]:
                total = total + one
            nodes.append(total)
        return nodes[-1]


class Reduction(nn.Module):
    """Residual block that halves the plane and doubles the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_a = ReluConvNorm(channels, 2 * channels, 3, stride=2)
        self.conv_b = ReluConvNorm(2 * channels, 2 * channels, 3)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(channels, 2 * channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, 2C, H/2, W/2]"""
        y: Tensor = self.shortcut(x) + self.conv_b(self.conv_a(x))
        return y


class Designed201(ImageNetwork):
    """Images float [B, C, H, W] of any size to class logits [B, K]."""

    smallest_input = 1

    def __init__(
        self,
        design: Mapping[str, Any],
        in_channels: int,
        num_classes: int,
        channels: int = 16,
        cells: int = 5,
    ) -> None:
        """Args:
        design: of the space "nb201".
        in_channels: of the images.
        num_classes: K.
        channels: C, of the first stage.
        cells: N, of each stage.

        Raises:
            UserError: the design is none of this space.
        """
        super().__init__()
        edges = read_edges(design)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        body: list[nn.Module] = []
        for stage in range(3):
            if stage:
                body.append(Reduction(channels * 2 ** (stage - 1)))
            body += [Cell(edges, channels * 2**stage) for _ in range(cells)]
        self.cells = nn.Sequential(*body)
        self.num_features = 4 * channels
        self.last = nn.BatchNorm2d(self.num_features)
        self.classifier = nn.Linear(self.num_features, num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last maps, averaged over the plane: [B, D]."""
        maps = self.cells(self.stem(images))  # [B, 4C, H/4, W/4]
        return torch.relu(self.last(maps)).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.classifier(self.forward_features(images))
        return logits
