"""ResNet: He, Zhang, Ren & Sun 2015, Deep residual learning for image recognition (1512.03385).

A block computes x + F(x) and so has only to learn a difference; a hundred layers and more train.
Shortcuts are the identity, and 1x1 convolutions where a stage changes size (the paper's option B).

Deviations, for torchvision's weights: a bottleneck strides in its 3x3 convolution (the paper, in
the first 1x1). Names are torchvision's, so its state dict loads as it is.

Legend: B batch, C channels, H W plane, D features, K classes. Sizes in comments are for 224x224.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import UserError, did_you_mean
from networks.base import ImageNetwork
from networks.blocks.activations import activation
from networks.blocks.normalisation import normalisation
from networks.space import choice


@dataclass(frozen=True)
class ResNetConfig:
    """Four stages of residual blocks."""

    num_classes: int = 1000
    """K"""
    in_channels: int = 3
    """C of the images."""
    block: str = choice("basic", ("basic", "bottleneck"))
    """basic: two 3x3 convolutions; bottleneck: 1x1, 3x3 and 1x1, four times as wide outside."""
    blocks: tuple[int, int, int, int] = choice(
        (2, 2, 2, 2), ((1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3))
    )
    """Blocks of each stage."""
    widths: tuple[int, int, int, int] = choice(
        (64, 128, 256, 512), ((16, 32, 64, 128), (32, 64, 128, 256), (64, 128, 256, 512))
    )
    """Channels of each stage; a bottleneck's of its 3x3 convolution."""
    activation: str = choice("relu", ("relu", "leaky_relu", "elu", "gelu", "swish", "mish"))
    """After every convolution and every sum."""
    normalisation: str = choice("batch", ("batch", "group", "layer", "instance"))
    """After every convolution, before the activation."""
    zero_last_norm: bool = choice(False, (False, True))
    """Begin with blocks that are the identity: the scale of their last normalisation is 0 (Goyal
    et al. 2017, arXiv 1706.02677, section 5.1)."""


class BasicBlock(nn.Module):
    """x + F(x), F of two 3x3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, width, 3, stride)
        self.bn1 = normalisation(config.normalisation, width)
        self.conv2 = _convolution(width, width, 3)
        self.bn2 = normalisation(config.normalisation, width)
        self.activation = activation(config.activation)
        self.downsample = _shortcut(inputs, width, stride, config)

    @property
    def last_norm(self) -> nn.Module:
        """The normalisation before the sum."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H / stride, W / stride]"""
        y = self.activation(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        summed: Tensor = self.activation(y + shortcut)
        return summed


class Bottleneck(nn.Module):
    """x + F(x), F of a 1x1, a 3x3 and a 1x1 convolution: depth for less arithmetic."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = _convolution(inputs, width, 1)
        self.bn1 = normalisation(config.normalisation, width)
        self.conv2 = _convolution(width, width, 3, stride)
        self.bn2 = normalisation(config.normalisation, width)
        self.conv3 = _convolution(width, outputs, 1)
        self.bn3 = normalisation(config.normalisation, outputs)
        self.activation = activation(config.activation)
        self.downsample = _shortcut(inputs, outputs, stride, config)

    @property
    def last_norm(self) -> nn.Module:
        """The normalisation before the sum."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, 4 * width, H / stride, W / stride]"""
        y = self.activation(self.bn1(self.conv1(x)))
        y = self.activation(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        summed: Tensor = self.activation(y + shortcut)
        return summed


BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
}


class ResNet(ImageNetwork):
    """Images float [B, C, H, W] of any size to class logits [B, K]."""

    smallest_input = 1

    def __init__(self, config: ResNetConfig) -> None:
        """Raises UserError for an unknown block, activation or normalisation."""
        super().__init__()
        if config.block not in BLOCKS:
            raise UserError(
                f"there is no residual block {config.block!r}{did_you_mean(config.block, BLOCKS)} "
                f"(known: {', '.join(BLOCKS)})"
            )
        stem = config.widths[0]
        outputs = [BLOCKS[config.block].expansion * width for width in config.widths]
        self.num_features = outputs[-1]
        self.conv1 = _convolution(config.in_channels, stem, 7, 2)
        self.bn1 = normalisation(config.normalisation, stem)
        self.activation = activation(config.activation)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(config, 0, stem)
        self.layer2 = _stage(config, 1, outputs[0])
        self.layer3 = _stage(config, 2, outputs[1])
        self.layer4 = _stage(config, 3, outputs[2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.num_features, config.num_classes)
        self._initialise(config.zero_last_norm)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last maps, averaged over the plane: [B, D]."""
        x = self.activation(self.bn1(self.conv1(images)))  # [B, 64, 112, 112]
        x = self.layer1(self.maxpool(x))  # [B, 64, 56, 56], bottlenecks [B, 256, 56, 56]
        x = self.layer2(x)  # [B, 128, 28, 28] or [B, 512, 28, 28]
        x = self.layer3(x)  # [B, 256, 14, 14] or [B, 1024, 14, 14]
        x = self.layer4(x)  # [B, 512, 7, 7] or [B, 2048, 7, 7]
        features: Tensor = self.avgpool(x).flatten(1)  # [B, D]
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.fc(self.forward_features(images))
        return logits

    def _initialise(self, zero_last_norm: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_last_norm and isinstance(module, BasicBlock | Bottleneck):
                scale = module.last_norm.weight
                assert isinstance(scale, torch.Tensor)
                nn.init.zeros_(scale)


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    """Without bias: a normalisation follows."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int, config: ResNetConfig) -> nn.Module | None:
    """What brings x to the shape of F(x); None where it has it."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(
        _convolution(inputs, outputs, 1, stride), normalisation(config.normalisation, outputs)
    )


def _stage(config: ResNetConfig, index: int, inputs: int) -> nn.Sequential:
    """Blocks of one width; the first halves the plane, except in the first stage."""
    block, width = BLOCKS[config.block], config.widths[index]
    layers = [block(inputs, width, 1 if index == 0 else 2, config)]
    for _ in range(config.blocks[index] - 1):
        layers.append(block(block.expansion * width, width, 1, config))
    return nn.Sequential(*layers)


PRESETS = {
    "resnet18": ResNetConfig(),
    "resnet34": ResNetConfig(blocks=(3, 4, 6, 3)),
    "resnet50": ResNetConfig(block="bottleneck", blocks=(3, 4, 6, 3)),
    "resnet101": ResNetConfig(block="bottleneck", blocks=(3, 4, 23, 3)),
    "resnet152": ResNetConfig(block="bottleneck", blocks=(3, 8, 36, 3)),
}


def build(config: ResNetConfig) -> ResNet:
    """The network of a config, with fresh weights."""
    return ResNet(config)
