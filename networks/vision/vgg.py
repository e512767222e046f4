"""VGG: Simonyan & Zisserman 2014, Very deep convolutional networks, arXiv 1409.1556.

Only 3x3 convolutions: two of them see 5x5 pixels and three 7x7, with fewer weights and more
nonlinearities than one large kernel. Depth grows to 19 layers in a form that is otherwise the same.

Presets are the paper's configurations A, B, D and E of table 1, each also with batch normalisation
(Ioffe & Szegedy 2015), which the paper did not have. It trained deep networks from shallow ones;
Kaiming initialisation does without. Names are torchvision's, so its state dict loads as it is.

Legend: B batch, C channels, H W plane, D features, K classes. Sizes in comments are for 224x224.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from networks.base import ImageNetwork
from networks.blocks.activations import activation
from networks.blocks.initialisation import initialise
from networks.blocks.normalisation import normalisation
from networks.space import choice

CELLS = 7
"""Side of the plane that the hidden layers see; other planes are averaged into it."""


@dataclass(frozen=True)
class VGGConfig:
    """Five stages of convolutions and two hidden layers."""

    num_classes: int = 1000
    """K"""
    in_channels: int = 3
    """C of the images."""
    blocks: tuple[int, int, int, int, int] = choice(
        (2, 2, 3, 3, 3),
        ((1, 1, 1, 1, 1), (1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)),
    )
    """Convolutions of each stage."""
    widths: tuple[int, int, int, int, int] = choice(
        (64, 128, 256, 512, 512), ((16, 32, 64, 128, 128), (64, 128, 256, 512, 512))
    )
    """Channels of each stage."""
    hidden: int = choice(4096, (256, 512, 1024, 4096))
    """D, units of both hidden layers."""
    dropout: float = choice(0.5, (0.0, 0.2, 0.5))
    """Share of the hidden units set to zero in training."""
    activation: str = choice("relu", ("relu", "leaky_relu", "elu", "gelu", "swish", "mish"))
    """After every layer but the last."""
    normalisation: str = choice("none", ("none", "batch", "group", "layer", "instance"))
    """After every convolution, before the activation."""


class VGG(ImageNetwork):
    """Images float [B, C, H, W] to class logits [B, K]."""

    smallest_input = 32

    def __init__(self, config: VGGConfig) -> None:
        """Raises UserError for an unknown activation or normalisation."""
        super().__init__()
        self.num_features = config.hidden
        self.features = _convolutions(config)
        self.avgpool = nn.AdaptiveAvgPool2d(CELLS)
        self.classifier = nn.Sequential(
            nn.Linear(config.widths[-1] * CELLS * CELLS, config.hidden),
            activation(config.activation),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            activation(config.activation),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.num_classes),
        )
        initialise(self, "kaiming_normal")

    def forward_features(self, images: Tensor) -> Tensor:
        """The second hidden layer, [B, D]."""
        x = self.features(images)  # [B, 512, 7, 7]
        x = self.avgpool(x).flatten(1)  # [B, 512 * 7 * 7]
        features: Tensor = self.classifier[:-1](x)  # [B, D]
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.classifier[-1](self.forward_features(images))
        return logits


def _convolutions(config: VGGConfig) -> nn.Sequential:
    """Five stages, each of which halves the plane at its end: 112, 56, 28, 14, 7."""
    layers: list[nn.Module] = []
    inputs = config.in_channels
    for blocks, width in zip(config.blocks, config.widths, strict=True):
        for _ in range(blocks):
            layers.append(nn.Conv2d(inputs, width, 3, padding=1))
            if config.normalisation != "none":
                layers.append(normalisation(config.normalisation, width))
            layers.append(activation(config.activation))
            inputs = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


PRESETS = {
    "vgg11": VGGConfig(blocks=(1, 1, 2, 2, 2)),
    "vgg13": VGGConfig(blocks=(2, 2, 2, 2, 2)),
    "vgg16": VGGConfig(blocks=(2, 2, 3, 3, 3)),
    "vgg19": VGGConfig(blocks=(2, 2, 4, 4, 4)),
}
PRESETS |= {
    f"{name}_bn": replace(config, normalisation="batch") for name, config in PRESETS.items()
}


def build(config: VGGConfig) -> VGG:
    """The network of a config, with fresh weights."""
    return VGG(config)
