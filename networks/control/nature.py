"""The convolutional network of Mnih et al. 2015, "Human-level control through deep reinforcement
learning" (Nature 518, doi 10.1038/nature14236), Methods, "Model architecture".

Against the 2013 network: one more convolution, more filters, twice the hidden units.
"""

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


class NatureCNN(Torso):
    """uint8 [B, 4, 84, 84] -> features [B, 512]."""

    num_features = 512

    def __init__(self, spec: ObservationSpec, hidden: Sequence[int] = ()) -> None:
        """Raises UserError unless frames are images of 36x36 or more. ``hidden`` are the units
        after the convolutions."""
        super().__init__()
        require_image(spec, "nature", 36)
        channels = image_channels(spec)
        self.convolutions = nn.Sequential(  # 84x84
            nn.Conv2d(channels, 32, 8, stride=4),
            nn.ReLU(),  # 20x20
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),  # 9x9
            nn.Conv2d(64, 64, 3, stride=1),
            nn.ReLU(),  # 7x7
            nn.Flatten(),
        )
        flat = flattened_features(self.convolutions, channels, spec)
        self.hidden = hidden_layers(flat, hidden or [self.num_features])
        self.num_features = hidden[-1] if hidden else self.num_features

    def forward(self, observation: Tensor) -> Tensor:
        """Frames, uint8 [B, K, H, W], to features [B, 512]."""
        features: Tensor = self.hidden(self.convolutions(scale_image(observation)))
        return features
