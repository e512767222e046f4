"""Networks of NAS-Bench-Macro, the space "macro": Su et al. 2021, arXiv 2103.11922.

Eight blocks in stages of 2, 3 and 3; the first of a stage halves the plane and doubles the
channels. A block is nothing, or an inverted residual (Sandler et al. 2018, arXiv 1801.04381):
a 1x1 convolution that widens, a depthwise one, a 1x1 one that narrows again.

    stem     3x3 convolution, batch normalisation, ReLU               C channels
    stage    2 blocks                                                 2C, H/2 x W/2
    stage    3 blocks                                                 4C, H/4 x W/4
    stage    3 blocks                                                 8C, H/8 x W/8
    head     1x1 convolution to 40C channels, normalisation, ReLU, average, linear layer

The benchmark has C = 32. As in its authors' code, activations are ReLU, and an identity that
begins a stage is a 1x1 convolution of stride 2 with normalisation.

Legend: B batch, C channels, H W plane, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from networks.base import ImageNetwork
from networks.designed.reading import Part

BLOCKS = {"identity": (0, 0), "mb3_k3": (3, 3), "mb6_k5": (6, 5)}
"""Name to how much a block widens, and its kernel."""
STAGE_STARTS = (0, 2, 5)
NUM_BLOCKS = 8


def read_blocks(design: Mapping[str, Any]) -> list[str]:
    """The blocks in order. Raises UserError for a design that is none of this space."""
    parts = Part(dict(design)).field("blocks").items(NUM_BLOCKS, NUM_BLOCKS)
    return [part.one_of(BLOCKS) for part in parts]


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True
) -> list[nn.Module]:
    """A convolution, its normalisation, and ReLU unless told otherwise."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), *([nn.ReLU()] if relu else [])]


class InvertedResidual(nn.Module):
    """Widen, look around, narrow; added to its input where the shapes are equal."""

    def __init__(self, inputs: int, outputs: int, stride: int, widening: int, kernel: int) -> None:
        super().__init__()
        wide = widening * inputs
        self.conv = nn.Sequential(
            *convolution(inputs, wide, 1),
            *convolution(wide, wide, kernel, stride, groups=wide),
            *convolution(wide, outputs, 1, relu=False),
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H / stride, W / stride]"""
        y: Tensor = self.conv(x)
        return y + x if self.is_residual else y


def block(name: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    """A block of the table."""
    widening, kernel = BLOCKS[name]
    if widening:
        return InvertedResidual(inputs, outputs, stride, widening, kernel)
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(*convolution(inputs, outputs, 1, stride, relu=False))


def places(channels: int) -> list[tuple[int, int, int]]:
    """Channels that come to each block, channels that leave it, and its stride; C of the stem."""
    found, width = [], channels
    for number in range(NUM_BLOCKS):
        grown = width * (2 if number in STAGE_STARTS else 1)
        found.append((width, grown, grown // width))
        width = grown
    return found


class DesignedMacro(ImageNetwork):
    """Images float [B, C, H, W] of any size to class logits [B, K]."""

    smallest_input = 1

    def __init__(
        self, design: Mapping[str, Any], in_channels: int, num_classes: int, channels: int = 32
    ) -> None:
        """Args:
        design: of the space "macro".
        in_channels: of the images.
        num_classes: K.
        channels: C, of the stem.

        Raises:
            UserError: the design is none of this space.
        """
        super().__init__()
        self.stem = nn.Sequential(*convolution(in_channels, channels, 3))
        each = zip(read_blocks(design), places(channels), strict=True)
        self.blocks = nn.Sequential(*(block(name, *place) for name, place in each))
        self.num_features = 40 * channels
        self.out = nn.Sequential(*convolution(8 * channels, self.num_features, 1))
        self.classifier = nn.Linear(self.num_features, num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last maps, averaged over the plane: [B, D]."""
        maps: Tensor = self.out(self.blocks(self.stem(images)))  # [B, 40C, H/8, W/8]
        return maps.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.classifier(self.forward_features(images))
        return logits
