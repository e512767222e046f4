"""A convolutional network for small images, in the manner of the Nature network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from core.lanes import ObservationSpec
from networks.torso import (
    Torso,
    flattened_features,
    hidden_layers,
    image_channels,
    require_image,
    scale_image,
)


class SmallCNN(Torso):
    """uint8 [B, K, H, W], at least 5x5 -> features [B, 128]."""

    num_features = 128

    def __init__(self, spec: ObservationSpec, hidden: Sequence[int] = ()) -> None:
        """Raises UserError unless frames are images of 5x5 or more. ``hidden`` are the units
        after the convolutions."""
        super().__init__()
        require_image(spec, "small", 5)
        channels = image_channels(spec)
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 16, 3),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        flat = flattened_features(self.convolutions, channels, spec)
        self.hidden = hidden_layers(flat, hidden or [self.num_features])
        self.num_features = hidden[-1] if hidden else self.num_features

    def forward(self, observation: Tensor) -> Tensor:
        """Frames, uint8 [B, K, H, W], to features [B, 128]."""
        features: Tensor = self.hidden(self.convolutions(scale_image(observation)))
        return features
