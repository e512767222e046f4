"""ResNet for small images: He, Zhang, Ren & Sun 2015, arXiv 1512.03385, section 4.2.

Three stages of n blocks on planes of 32x32, 16x16 and 8x8 with 16, 32 and 64 channels: 6n + 2
layers. Shortcuts have no parameters (option A: every second pixel, zeros for new channels), so
that a plain network, the same without shortcuts, has just as many: the paper's experiment on
degradation, in which 56 plain layers train worse than 20, and 56 residual layers better.

Deviation: the new channels are the last ones; the paper does not say.

Legend: B batch, C channels, H W plane, D features, K classes. Sizes in comments are for 32x32.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from networks.base import ImageNetwork
from networks.blocks.activations import activation
from networks.blocks.initialisation import initialise
from networks.blocks.normalisation import normalisation
from networks.space import choice


@dataclass(frozen=True)
class SmallResNetConfig:
    """Three stages of equally many blocks."""

    num_classes: int = 10
    """K"""
    in_channels: int = 3
    """C of the images."""
    blocks: int = choice(3, (1, 2, 3, 5, 7, 9, 18))
    """n, blocks of each stage."""
    widths: tuple[int, int, int] = choice((16, 32, 64), ((8, 16, 32), (16, 32, 64), (32, 64, 128)))
    """Channels of each stage."""
    shortcuts: bool = choice(True, (True, False))
    """False for the plain network."""
    activation: str = choice("relu", ("relu", "leaky_relu", "elu", "gelu", "swish", "mish"))
    """After every convolution and every sum."""
    normalisation: str = choice("batch", ("batch", "group", "layer", "instance"))
    """After every convolution, before the activation."""


class Block(nn.Module):
    """x + F(x), F of two 3x3 convolutions; without shortcuts F(x) alone."""

    def __init__(self, inputs: int, width: int, stride: int, config: SmallResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = normalisation(config.normalisation, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = normalisation(config.normalisation, width)
        self.activation = activation(config.activation)
        self.stride, self.new_channels = stride, width - inputs
        self.has_shortcut = config.shortcuts

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H / stride, W / stride]"""
        y = self.activation(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.has_shortcut:
            y = y + self.shortcut(x)
        out: Tensor = self.activation(y)
        return out

    def shortcut(self, x: Tensor) -> Tensor:
        """Option A, in the shape of F(x)."""
        x = x[:, :, :: self.stride, :: self.stride]  # [B, inputs, H / stride, W / stride]
        return functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))


class SmallResNet(ImageNetwork):
    """Images float [B, C, H, W] of any size to class logits [B, K]."""

    smallest_input = 1

    def __init__(self, config: SmallResNetConfig) -> None:
        """Raises UserError for an unknown activation or normalisation."""
        super().__init__()
        first, second, third = config.widths
        self.num_features = third
        self.conv1 = nn.Conv2d(config.in_channels, first, 3, padding=1, bias=False)
        self.bn1 = normalisation(config.normalisation, first)
        self.activation = activation(config.activation)
        self.layer1 = _stage(first, first, 1, config)
        self.layer2 = _stage(first, second, 2, config)
        self.layer3 = _stage(second, third, 2, config)
        self.fc = nn.Linear(third, config.num_classes)
        initialise(self, "kaiming_normal")

    def forward_features(self, images: Tensor) -> Tensor:
        """The last maps, averaged over the plane: [B, D]."""
        x = self.activation(self.bn1(self.conv1(images)))  # [B, 16, 32, 32]
        x = self.layer1(x)  # [B, 16, 32, 32]
        x = self.layer2(x)  # [B, 32, 16, 16]
        x = self.layer3(x)  # [B, 64, 8, 8]
        features: Tensor = x.mean(dim=(2, 3))  # [B, D]
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.fc(self.forward_features(images))
        return logits


def _stage(inputs: int, width: int, stride: int, config: SmallResNetConfig) -> nn.Sequential:
    """Blocks of one width, the first of which has the stride."""
    first = Block(inputs, width, stride, config)
    others = (Block(width, width, 1, config) for _ in range(config.blocks - 1))
    return nn.Sequential(first, *others)


PRESETS = {
    "resnet20": SmallResNetConfig(blocks=3),
    "resnet32": SmallResNetConfig(blocks=5),
    "resnet44": SmallResNetConfig(blocks=7),
    "resnet56": SmallResNetConfig(blocks=9),
    "resnet110": SmallResNetConfig(blocks=18),
    "plain20": SmallResNetConfig(blocks=3, shortcuts=False),
    "plain56": SmallResNetConfig(blocks=9, shortcuts=False),
}


def build(config: SmallResNetConfig) -> SmallResNet:
    """The network of a config, with fresh weights."""
    return SmallResNet(config)
