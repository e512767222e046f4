"""Highway network: Srivastava, Greff & Schmidhuber 2015, arXiv 1505.00387.

A layer computes y = h(x) t(x) + x (1 - t(x)): a gate t decides, unit by unit, whether to transform
or to carry. Gates begin nearly closed (a negative bias), so that a signal passes a hundred layers;
plain layers stop learning at a few dozen.

The presets are those of the paper's section 4.1: one plain layer and 49 further ones on images,
flattened; 50 units a layer with gates and 71 without, which have about as many parameters.

Legend: B batch, C channels, H W plane, D features (units of a layer), K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import UserError
from networks.base import ImageNetwork
from networks.blocks.activations import activation
from networks.blocks.initialisation import initialise
from networks.space import choice


@dataclass(frozen=True)
class HighwayConfig:
    """Fully connected layers of equal width."""

    num_classes: int = 10
    """K"""
    in_channels: int = 1
    """C of the images."""
    image_size: tuple[int, int] = (28, 28)
    """Height and width of the images, which the first layer's weights depend on."""
    depth: int = choice(50, (10, 20, 50, 100))
    """Layers before the classifier."""
    width: int = choice(50, (32, 50, 71, 128))
    """D, units of a layer."""
    gates: bool = choice(True, (True, False))
    """False for the plain network."""
    gate_bias: float = choice(-2.0, (-1.0, -2.0, -3.0, -4.0))
    """Of every gate at the start; the lower, the more is carried."""
    activation: str = choice("tanh", ("tanh", "relu"))
    """Of h."""


class PlainLayer(nn.Module):
    """y = h(x)"""

    def __init__(self, inputs: int, width: int, config: HighwayConfig) -> None:
        super().__init__()
        self.transform = nn.Linear(inputs, width)
        self.activation = activation(config.activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] to [B, D]"""
        y: Tensor = self.activation(self.transform(x))
        return y


class HighwayLayer(nn.Module):
    """y = h(x) t(x) + x (1 - t(x))"""

    def __init__(self, width: int, config: HighwayConfig) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.activation = activation(config.activation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, D] to [B, D]"""
        gate = torch.sigmoid(self.gate(x))
        y: Tensor = self.activation(self.transform(x)) * gate + x * (1 - gate)
        return y


class Highway(ImageNetwork):
    """Images float [B, C, H, W] of one size to class logits [B, K]."""

    smallest_input = 1

    def __init__(self, config: HighwayConfig) -> None:
        """Raises UserError for an unknown activation."""
        super().__init__()
        self.num_features = config.width
        self.input_shape = (config.in_channels, *config.image_size)
        channels, height, width = self.input_shape
        self.first = PlainLayer(channels * height * width, config.width, config)
        self.layers = nn.Sequential(*(_layer(config) for _ in range(config.depth - 1)))
        self.fc = nn.Linear(config.width, config.num_classes)
        initialise(self, "kaiming_normal")
        for module in self.modules():
            if isinstance(module, HighwayLayer):
                nn.init.constant_(module.gate.bias, config.gate_bias)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last layer's units, [B, D].

        Raises:
            UserError: the images are not of the size that the network was built for.
        """
        if images.shape[1:] != self.input_shape:
            raise UserError(
                f"this highway network was built for images {list(self.input_shape)} (channels, "
                f"height, width), these are {list(images.shape[1:])}; set in_channels, image_size"
            )
        x = self.first(images.flatten(1))  # [B, D]
        features: Tensor = self.layers(x)  # [B, D]
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.fc(self.forward_features(images))
        return logits


def _layer(config: HighwayConfig) -> nn.Module:
    if config.gates:
        return HighwayLayer(config.width, config)
    return PlainLayer(config.width, config.width, config)


PRESETS = {
    "highway": HighwayConfig(),
    "plain": HighwayConfig(width=71, gates=False),
}


def build(config: HighwayConfig) -> Highway:
    """The network of a config, with fresh weights."""
    return Highway(config)
