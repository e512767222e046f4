"""Inception-ResNet-v2: Szegedy, Ioffe, Vanhoucke & Alemi 2016, arXiv 1602.07261.

Inception modules as residual blocks: the branches' maps are brought to the channels of the input
by a 1x1 convolution, scaled down and added to it. Without the scaling (0.1 to 0.3; section 3.3)
networks of more than a thousand filters die early in training.

Deviations, those of the weights published in 2016: twice as many blocks as in the paper's figure
15; the stem of Inception-v3 and a first module with a 5x5 branch, so that stages have 320, 1088
and 2080 channels; the last block is neither scaled nor activated. Names are those of timm, so its
state dict loads as it is. The weights expect pixels from -1 to 1.

Legend: B batch, C channels, H W plane, D features, K classes. Sizes in comments are for 299x299.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from networks.base import ImageNetwork
from networks.blocks.activations import activation
from networks.blocks.branches import AVERAGE, HALVE, Branches, Layer
from networks.blocks.conv import ConvNormActivation, same, valid
from networks.space import choice


@dataclass(frozen=True)
class InceptionResNetV2Config:
    """A stem and three stages of residual blocks."""

    num_classes: int = 1000
    """K"""
    in_channels: int = 3
    """C of the images."""
    blocks: tuple[int, int, int] = choice((10, 20, 10), ((1, 1, 1), (5, 10, 5), (10, 20, 10)))
    """Residual blocks A, B and C; C at least one."""
    scales: tuple[float, float, float] = choice(
        (0.17, 0.1, 0.2), ((0.1, 0.1, 0.1), (0.17, 0.1, 0.2), (0.3, 0.3, 0.3), (1.0, 1.0, 1.0))
    )
    """What the branches of A, B and C are multiplied by before the sum."""
    dropout: float = choice(0.2, (0.0, 0.2, 0.5))
    """Share of the features set to zero before the classifier, in training."""
    activation: str = choice("relu", ("relu", "leaky_relu", "elu", "gelu", "swish", "mish"))
    """After every convolution and every sum."""
    normalisation: str = choice("batch", ("batch", "group", "layer", "instance"))
    """After every convolution, before the activation."""


FIRST_MODULE: dict[str, Layer] = {
    "branch0": same(96, 1),
    "branch1": [same(48, 1), same(64, 5)],
    "branch2": [same(64, 1), same(96, 3), same(96, 3)],
    "branch3": [AVERAGE, same(64, 1)],
}
A: dict[str, Layer] = {  # figure 16
    "branch0": same(32, 1),
    "branch1": [same(32, 1), same(32, 3)],
    "branch2": [same(32, 1), same(48, 3), same(64, 3)],
}
REDUCTION_A: dict[str, Layer] = {  # figure 7
    "branch0": valid(384, 3, stride=2),
    "branch1": [same(256, 1), same(256, 3), valid(384, 3, stride=2)],
    "branch2": HALVE,
}
B: dict[str, Layer] = {  # figure 17
    "branch0": same(192, 1),
    "branch1": [same(128, 1), same(160, (1, 7)), same(192, (7, 1))],
}
REDUCTION_B: dict[str, Layer] = {  # figure 18
    "branch0": [same(256, 1), valid(384, 3, stride=2)],
    "branch1": [same(256, 1), valid(288, 3, stride=2)],
    "branch2": [same(256, 1), same(288, 3), valid(320, 3, stride=2)],
    "branch3": HALVE,
}
C: dict[str, Layer] = {  # figure 19
    "branch0": same(192, 1),
    "branch1": [same(192, 1), same(224, (1, 3)), same(256, (3, 1))],
}


class ResidualBlock(Branches):
    """f(x + scale * W[branches of x]): f an activation, W a 1x1 convolution."""

    def __init__(
        self,
        width: int,
        branches: Mapping[str, Layer],
        scale: float,
        last: str,
        config: InceptionResNetV2Config,
    ) -> None:
        """`last` names f. Raises UserError for an unknown activation or normalisation."""
        super().__init__(width, branches, config)
        self.conv2d = nn.Conv2d(self.outputs, width, 1)
        self.scale = scale
        self.activation = activation(last)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] to [B, width, H, W]"""
        y: Tensor = self.activation(x + self.scale * self.conv2d(super().forward(x)))
        return y


class InceptionResNetV2(ImageNetwork):
    """Images float [B, C, H, W] to class logits [B, K]."""

    smallest_input = 75

    def __init__(self, config: InceptionResNetV2Config) -> None:
        """Raises UserError for an unknown activation or normalisation."""
        super().__init__()
        a, b, c = config.blocks
        self.conv2d_1a = ConvNormActivation(config.in_channels, valid(32, 3, stride=2), config)
        self.conv2d_2a = ConvNormActivation(32, valid(32, 3), config)
        self.conv2d_2b = ConvNormActivation(32, same(64, 3), config)
        self.maxpool_3a = HALVE()
        self.conv2d_3b = ConvNormActivation(64, same(80, 1), config)
        self.conv2d_4a = ConvNormActivation(80, valid(192, 3), config)
        self.maxpool_5a = HALVE()
        self.mixed_5b = Branches(192, FIRST_MODULE, config)
        self.repeat = _stage(320, A, a, config.scales[0], config)
        self.mixed_6a = Branches(320, REDUCTION_A, config)
        self.repeat_1 = _stage(1088, B, b, config.scales[1], config)
        self.mixed_7a = Branches(1088, REDUCTION_B, config)
        self.repeat_2 = _stage(2080, C, c - 1, config.scales[2], config)
        self.block8 = ResidualBlock(2080, C, 1.0, "identity", config)
        self.num_features = 1536
        self.conv2d_7b = ConvNormActivation(2080, same(self.num_features, 1), config)
        self.dropout = nn.Dropout(config.dropout)
        self.classif = nn.Linear(self.num_features, config.num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last maps, averaged over the plane: [B, D]."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(images)))  # [B, 64, 147, 147]
        x = self.maxpool_3a(x)  # [B, 64, 73, 73]
        x = self.conv2d_4a(self.conv2d_3b(x))  # [B, 192, 71, 71]
        x = self.mixed_5b(self.maxpool_5a(x))  # [B, 320, 35, 35]
        x = self.mixed_6a(self.repeat(x))  # [B, 1088, 17, 17]
        x = self.mixed_7a(self.repeat_1(x))  # [B, 2080, 8, 8]
        x = self.block8(self.repeat_2(x))  # [B, 2080, 8, 8]
        x = self.conv2d_7b(x)  # [B, 1536, 8, 8]
        features: Tensor = x.mean(dim=(2, 3))  # [B, D]
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.classif(self.dropout(self.forward_features(images)))
        return logits


def _stage(
    width: int,
    branches: Mapping[str, Layer],
    blocks: int,
    scale: float,
    config: InceptionResNetV2Config,
) -> nn.Sequential:
    """Residual blocks of one kind."""
    return nn.Sequential(
        *(ResidualBlock(width, branches, scale, config.activation, config) for _ in range(blocks))
    )


PRESETS = {"inception_resnet_v2": InceptionResNetV2Config()}


def build(config: InceptionResNetV2Config) -> InceptionResNetV2:
    """The network of a config, with fresh weights."""
    return InceptionResNetV2(config)
