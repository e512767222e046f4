"""A convolutional network for small images, in the manner of the Nature network."""

from __future__ import annotations

from torch import Tensor, nn

from core.lanes import ObservationSpec
from networks.torso import Torso, flattened_features, image_channels, require_image, scale_image


class SmallCNN(Torso):
    """uint8 [B, K, H, W], at least 5x5 -> features [B, 128]."""

    num_features = 128

    def __init__(self, spec: ObservationSpec) -> None:
        """Raises UserError unless frames are images of 5x5 or more."""
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
        self.hidden = nn.Sequential(nn.Linear(flat, self.num_features), nn.ReLU())

    def forward(self, observation: Tensor) -> Tensor:
        """Frames, uint8 [B, K, H, W], to features [B, 128]."""
        features: Tensor = self.hidden(self.convolutions(scale_image(observation)))
        return features
