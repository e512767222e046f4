"""Inception-v4: Szegedy, Ioffe, Vanhoucke & Alemi 2016, arXiv 1602.07261.

Three kinds of modules (A, B, C) on planes of three sizes, with a reduction between them, each kind
uniform through its stage. Large kernels are split in two (7x7 into 1x7 and 7x1), and the stem has
parallel branches as well.

Deviations, for the published weights: the longest branch of B begins with 7x1 where the paper's
figure has 1x7, and the ends of C are concatenated in another order. Names are those of timm, which
`rename_timm` changes within C. The weights expect pixels from -1 to 1.

Legend: B batch, C channels, H W plane, D features, K classes. Sizes in comments are for 299x299.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor, nn

from networks.base import ImageNetwork
from networks.blocks.branches import AVERAGE, HALVE, Layer, build_layer
from networks.blocks.conv import same, valid
from networks.space import choice


@dataclass(frozen=True)
class InceptionV4Config:
    """A stem and three stages of modules."""

    num_classes: int = 1000
    """K"""
    in_channels: int = 3
    """C of the images."""
    blocks: tuple[int, int, int] = choice((4, 7, 3), ((1, 1, 1), (2, 3, 1), (4, 7, 3)))
    """Modules A, B and C."""
    dropout: float = choice(0.2, (0.0, 0.2, 0.5))
    """Share of the features set to zero before the classifier, in training."""
    activation: str = choice("relu", ("relu", "leaky_relu", "elu", "gelu", "swish", "mish"))
    """After every convolution."""
    normalisation: str = choice("batch", ("batch", "group", "layer", "instance"))
    """After every convolution, before the activation."""


STEM: list[Layer] = [  # figure 3
    valid(32, 3, stride=2),  # [B, 32, 149, 149]
    valid(32, 3),  # [B, 32, 147, 147]
    same(64, 3),  # [B, 64, 147, 147]
    {"maxpool": HALVE, "conv": valid(96, 3, stride=2)},  # [B, 160, 73, 73]
    {
        "branch0": [same(64, 1), valid(96, 3)],
        "branch1": [same(64, 1), same(64, (1, 7)), same(64, (7, 1)), valid(96, 3)],
    },  # [B, 192, 71, 71]
    {"conv": valid(192, 3, stride=2), "maxpool": HALVE},  # [B, 384, 35, 35]
]
A: Layer = {  # figure 4
    "branch0": same(96, 1),
    "branch1": [same(64, 1), same(96, 3)],
    "branch2": [same(64, 1), same(96, 3), same(96, 3)],
    "branch3": [AVERAGE, same(96, 1)],
}
REDUCTION_A: Layer = {  # figure 7
    "branch0": valid(384, 3, stride=2),
    "branch1": [same(192, 1), same(224, 3), valid(256, 3, stride=2)],
    "branch2": HALVE,
}
B: Layer = {  # figure 5
    "branch0": same(384, 1),
    "branch1": [same(192, 1), same(224, (1, 7)), same(256, (7, 1))],
    "branch2": [
        same(192, 1), same(192, (7, 1)), same(224, (1, 7)), same(224, (7, 1)), same(256, (1, 7)),
    ],
    "branch3": [AVERAGE, same(128, 1)],
}  # fmt: skip
REDUCTION_B: Layer = {  # figure 8
    "branch0": [same(192, 1), valid(192, 3, stride=2)],
    "branch1": [same(256, 1), same(256, (1, 7)), same(320, (7, 1)), valid(320, 3, stride=2)],
    "branch2": HALVE,
}
FORK: Layer = {"a": same(256, (1, 3)), "b": same(256, (3, 1))}
C: Layer = {  # figure 6
    "branch0": same(256, 1),
    "branch1": [same(384, 1), FORK],
    "branch2": [same(384, 1), same(448, (3, 1)), same(512, (1, 3)), FORK],
    "branch3": [AVERAGE, same(256, 1)],
}


class InceptionV4(ImageNetwork):
    """Images float [B, C, H, W] to class logits [B, K]."""

    smallest_input = 75

    def __init__(self, config: InceptionV4Config) -> None:
        """Raises UserError for an unknown activation or normalisation."""
        super().__init__()
        a, b, c = config.blocks
        layers: list[Layer] = [
            *STEM,
            *[A] * a,  # [B, 384, 35, 35]
            REDUCTION_A,
            *[B] * b,  # [B, 1024, 17, 17]
            REDUCTION_B,
            *[C] * c,  # [B, 1536, 8, 8]
        ]
        self.features, self.num_features = build_layer(layers, config.in_channels, config)
        self.dropout = nn.Dropout(config.dropout)
        self.last_linear = nn.Linear(self.num_features, config.num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last maps, averaged over the plane: [B, D]."""
        maps: Tensor = self.features(images)  # [B, 1536, 8, 8]
        return maps.mean(dim=(2, 3))  # [B, D]

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.last_linear(self.dropout(self.forward_features(images)))
        return logits


PRESETS = {"inception_v4": InceptionV4Config()}


def build(config: InceptionV4Config) -> InceptionV4:
    """The network of a config, with fresh weights."""
    return InceptionV4(config)


def rename_timm(name: str) -> str:
    """A name of timm's, which numbers the layers of C in one word, to ours."""
    # branch2_0 is our branch2.0; branch2_3a is our branch2.3.a
    name = re.sub(r"branch(\d)_(\d)([ab])", r"branch\1.\2.\3", name)
    return re.sub(r"branch(\d)_(\d)", r"branch\1.\2", name)
