"""GoogLeNet: Szegedy et al. 2014, Going deeper with convolutions, arXiv 1409.4842.

A module looks at its input with kernels of several sizes side by side, and 1x1 convolutions keep
each branch narrow: 22 layers with a twelfth of AlexNet's weights. Two small classifiers in the
middle (auxiliary heads) bring gradients to the early layers in training; the loss is

    loss(logits) + 0.3 loss(auxiliary 1) + 0.3 loss(auxiliary 2)

Deviations, for torchvision's weights: batch normalisation after every convolution, where the paper
has local response normalisation in the stem; 3x3 kernels in place of 5x5 (preset googlenet_5x5 has
the paper's); the last pool is 2x2; auxiliary heads average the plane into 4x4 cells, where the
paper's have windows of 5x5 at every third pixel. Names are torchvision's, so its state dict loads
as it is. The weights expect pixels from -1 to 1.

Legend: B batch, C channels, H W plane, D features, K classes. Sizes in comments are for 224x224.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from networks.base import ImageNetwork
from networks.blocks.activations import activation
from networks.blocks.branches import Branches, Layer
from networks.blocks.conv import ConvNormActivation, same
from networks.space import choice


@dataclass(frozen=True)
class GoogLeNetConfig:
    """Nine modules of four branches."""

    num_classes: int = 1000
    """K"""
    in_channels: int = 3
    """C of the images."""
    large_kernel: int = choice(3, (3, 5))
    """Of the branch that is 5x5 in the paper."""
    auxiliary: bool = False
    """Two more classifiers for training, `logits_and_auxiliary`."""
    dropout: float = choice(0.4, (0.0, 0.2, 0.4))
    """Share of the features set to zero before the classifier, in training."""
    auxiliary_dropout: float = 0.7
    """The same of the auxiliary heads."""
    activation: str = choice("relu", ("relu", "leaky_relu", "elu", "gelu", "swish", "mish"))
    """After every convolution."""
    normalisation: str = choice("batch", ("batch", "group", "layer", "instance"))
    """After every convolution, before the activation."""


Row = tuple[int, int, int, int, int, int]
"""Channels in the order of the paper's table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool."""


def inception(inputs: int, row: Row, config: GoogLeNetConfig) -> Branches:
    """A module of figure 2 (b)."""
    ones, threes_reduced, threes, fives_reduced, fives, pooled = row
    pool = partial(nn.MaxPool2d, 3, stride=1, padding=1)
    branches: dict[str, Layer] = {
        "branch1": same(ones, 1),
        "branch2": [same(threes_reduced, 1), same(threes, 3)],
        "branch3": [same(fives_reduced, 1), same(fives, config.large_kernel)],
        "branch4": [pool, same(pooled, 1)],
    }
    return Branches(inputs, branches, config)


class AuxiliaryHead(nn.Module):
    """A classifier of maps in the middle of the network."""

    def __init__(self, inputs: int, config: GoogLeNetConfig) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(4)
        self.conv = ConvNormActivation(inputs, same(128, 1), config)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.activation = activation(config.activation)
        self.dropout = nn.Dropout(config.auxiliary_dropout)
        self.fc2 = nn.Linear(1024, config.num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        """[B, inputs, 14, 14] to class logits [B, K]"""
        x = self.conv(self.avgpool(maps)).flatten(1)  # [B, 128 * 4 * 4]
        x = self.dropout(self.activation(self.fc1(x)))  # [B, 1024]
        logits: Tensor = self.fc2(x)
        return logits


class GoogLeNet(ImageNetwork):
    """Images float [B, C, H, W] to class logits [B, K]."""

    smallest_input = 15
    auxiliary_weight = 0.3  # section 5

    def __init__(self, config: GoogLeNetConfig) -> None:
        """Raises UserError for an unknown activation or normalisation."""
        super().__init__()
        self.conv1 = ConvNormActivation(config.in_channels, same(64, 7, stride=2), config)
        self.maxpool1 = _halve(3)
        self.conv2 = ConvNormActivation(64, same(64, 1), config)
        self.conv3 = ConvNormActivation(64, same(192, 3), config)
        self.maxpool2 = _halve(3)
        self.inception3a = inception(192, (64, 96, 128, 16, 32, 32), config)
        self.inception3b = inception(256, (128, 128, 192, 32, 96, 64), config)
        self.maxpool3 = _halve(3)
        self.inception4a = inception(480, (192, 96, 208, 16, 48, 64), config)
        self.inception4b = inception(512, (160, 112, 224, 24, 64, 64), config)
        self.inception4c = inception(512, (128, 128, 256, 24, 64, 64), config)
        self.inception4d = inception(512, (112, 144, 288, 32, 64, 64), config)
        self.inception4e = inception(528, (256, 160, 320, 32, 128, 128), config)
        self.maxpool4 = _halve(2)
        self.inception5a = inception(832, (256, 160, 320, 32, 128, 128), config)
        self.inception5b = inception(832, (384, 192, 384, 48, 128, 128), config)
        self.aux1 = AuxiliaryHead(512, config) if config.auxiliary else None
        self.aux2 = AuxiliaryHead(528, config) if config.auxiliary else None
        self.num_features = 1024
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(self.num_features, config.num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last maps, averaged over the plane: [B, D]."""
        _, _, maps = self._maps(images)
        return maps.mean(dim=(2, 3))  # [B, D]

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K], of the last classifier alone."""
        return self._classify(self.forward_features(images))

    def logits_and_auxiliary(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Class logits [B, K] of the last classifier, and of the auxiliary heads, early and late,
        where it has them."""
        if self.aux1 is None or self.aux2 is None:
            return self(images), ()
        early, late, maps = self._maps(images)
        logits = self._classify(maps.mean(dim=(2, 3)))
        return logits, (self.aux1(early), self.aux2(late))

    def _maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps that the auxiliary heads and the classifier see."""
        x = self.maxpool1(self.conv1(images))  # [B, 64, 56, 56]
        x = self.maxpool2(self.conv3(self.conv2(x)))  # [B, 192, 28, 28]
        x = self.inception3b(self.inception3a(x))  # [B, 480, 28, 28]
        early = self.inception4a(self.maxpool3(x))  # [B, 512, 14, 14]
        x = self.inception4c(self.inception4b(early))  # [B, 512, 14, 14]
        late = self.inception4d(x)  # [B, 528, 14, 14]
        x = self.maxpool4(self.inception4e(late))  # [B, 832, 7, 7]
        return early, late, self.inception5b(self.inception5a(x))  # last [B, 1024, 7, 7]

    def _classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.dropout(features))
        return logits


def _halve(size: int) -> nn.MaxPool2d:
    """A pool that rounds the halved plane up."""
    return nn.MaxPool2d(size, stride=2, ceil_mode=True)


PRESETS = {
    "googlenet": GoogLeNetConfig(),
    "googlenet_aux": GoogLeNetConfig(auxiliary=True),
    "googlenet_5x5": GoogLeNetConfig(large_kernel=5),
}


def build(config: GoogLeNetConfig) -> GoogLeNet:
    """The network of a config, with fresh weights."""
    return GoogLeNet(config)
