"""The convolutional network of Mnih et al. 2013, "Playing Atari with Deep Reinforcement Learning"
(arXiv 1312.5602), section 4.1. A third of the Nature network's arithmetic.
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


class DQN2013CNN(Torso):
    """uint8 [B, 4, 84, 84] -> features [B, 256]."""

    num_features = 256

    def __init__(self, spec: ObservationSpec, hidden: Sequence[int] = ()) -> None:
        """Raises UserError unless frames are images of 36x36 or more. ``hidden`` are the units
        after the convolutions."""
        super().__init__()
        require_image(spec, "dqn2013", 36)
        channels = image_channels(spec)
        self.convolutions = nn.Sequential(  # 84x84
            nn.Conv2d(channels, 16, 8, stride=4),
            nn.ReLU(),  # 20x20
            nn.Conv2d(16, 32, 4, stride=2),
            nn.ReLU(),  # 9x9
            nn.Flatten(),
        )
        flat = flattened_features(self.convolutions, channels, spec)
        self.hidden = hidden_layers(flat, hidden or [self.num_features])
        self.num_features = hidden[-1] if hidden else self.num_features

    def forward(self, observation: Tensor) -> Tensor:
        """Frames, uint8 [B, K, H, W], to features [B, 256]."""
        features: Tensor = self.hidden(self.convolutions(scale_image(observation)))
        return features
