"""The deep residual network of IMPALA: Espeholt et al. 2018, arXiv 1802.01561, figure 3 (right).

Three sections, each a convolution, a pooling and two residual blocks: 15 convolutions. Against the
Nature network: deeper, small filters, no strides. The paper's LSTM on top is left out: agents here
see stacked frames.

Deviation: pooling pads all sides alike, where TensorFlow pads even sizes at the end only.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from core.lanes import ObservationSpec
from networks.torso import (
    Torso,
    flattened_features,
    hidden_layers,
    image_channels,
    require_image,
    scale_image,
)

SECTIONS = (16, 32, 32)
"""Channels of each."""
BLOCKS = 2
"""Residual blocks of a section."""


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x))))"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W]"""
        y = self.conv1(functional.relu(x))
        y = self.conv2(functional.relu(y))
        summed: Tensor = x + y
        return summed


class ImpalaCNN(Torso):
    """uint8 [B, K, H, W], at least 5x5 -> features [B, 256]."""

    num_features = 256

    def __init__(self, spec: ObservationSpec, hidden: Sequence[int] = ()) -> None:
        """Raises UserError unless frames are images of 5x5 or more. ``hidden`` are the units
        after the convolutions."""
        super().__init__()
        require_image(spec, "impala", 5)
        channels = image_channels(spec)
        sections: list[nn.Module] = []
        for inputs, outputs in zip((channels, *SECTIONS), SECTIONS, strict=False):
            sections += [
                nn.Conv2d(inputs, outputs, 3, padding=1),
                nn.MaxPool2d(3, stride=2, padding=1),  # 84x84: 42x42, 21x21, 11x11
                *(ResidualBlock(outputs) for _ in range(BLOCKS)),
            ]
        self.convolutions = nn.Sequential(*sections, nn.ReLU(), nn.Flatten())
        flat = flattened_features(self.convolutions, channels, spec)
        self.hidden = hidden_layers(flat, hidden or [self.num_features])
        self.num_features = hidden[-1] if hidden else self.num_features

    def forward(self, observation: Tensor) -> Tensor:
        """Frames, uint8 [B, K, H, W], to features [B, 256]."""
        features: Tensor = self.hidden(self.convolutions(scale_image(observation)))
        return features
