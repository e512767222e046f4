"""A convolution, its normalisation and its activation, as one row of a network's table.

The form that Szegedy's networks share from Inception-v2 on (Ioffe & Szegedy 2015, arXiv
1502.03167): the convolution has no bias, since the normalisation shifts.

Legend: B batch, H W plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from networks.blocks.activations import activation
from networks.blocks.normalisation import normalisation

EPSILON = 1e-3
"""Added to variances in TensorFlow's Inception networks, and so in the weights published."""

Kernel = int | tuple[int, int]
"""A side, or height and width."""


@dataclass(frozen=True)
class Conv:
    """What a convolution has to be told, apart from its input channels."""

    outputs: int
    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int]


def same(outputs: int, kernel: Kernel, stride: int = 1) -> Conv:
    """A convolution, of an odd kernel, whose padding keeps the plane, or divides it by the
    stride, rounded up."""
    height, width = _pair(kernel)
    return Conv(outputs, (height, width), stride, (height // 2, width // 2))


def valid(outputs: int, kernel: Kernel, stride: int = 1) -> Conv:
    """A convolution without padding."""
    return Conv(outputs, _pair(kernel), stride, (0, 0))


def _pair(kernel: Kernel) -> tuple[int, int]:
    return (kernel, kernel) if isinstance(kernel, int) else kernel


class Style(Protocol):
    """What all convolutions of a network share: the config of a family has these fields."""

    @property
    def normalisation(self) -> str:
        """After every convolution, by name."""

    @property
    def activation(self) -> str:
        """After every normalisation, by name."""


class ConvNormActivation(nn.Module):
    """Convolution, normalisation, activation."""

    def __init__(self, inputs: int, conv: Conv, style: Style) -> None:
        """Raises UserError for an unknown activation or normalisation."""
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, conv.outputs, conv.kernel, conv.stride, conv.padding, bias=False
        )
        self.bn = normalisation(style.normalisation, conv.outputs, EPSILON)
        self.activation = activation(style.activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H', W']"""
        y: Tensor = self.activation(self.bn(self.conv(x)))
        return y
