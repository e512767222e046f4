"""A multilayer perceptron for vector observations; other observations are flattened."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.lanes import ObservationSpec
from networks.torso import Torso


class MLP(Torso):
    """[B, features] -> features [B, 128] through two hidden layers of ReLU units."""

    num_features = 128

    def __init__(self, spec: ObservationSpec) -> None:
        """Images are flattened."""
        super().__init__()
        self.scale = 1.0 / 255.0 if spec.dtype == "uint8" else 1.0
        inputs = 1
        for size in spec.stacked_shape:
            inputs *= size
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, self.num_features),
            nn.ReLU(),
            nn.Linear(self.num_features, self.num_features),
            nn.ReLU(),
        )

    def drop_hidden(self) -> int:
        """Leave off the second hidden layer; see `Torso.drop_hidden`."""
        *kept, last, _ = self.layers
        assert isinstance(last, nn.Linear)
        self.num_features = last.in_features
        self.layers = nn.Sequential(*kept)
        return self.num_features

    def forward(self, observation: Tensor) -> Tensor:
        """Observations [B, ...] to features [B, 128]."""
        features: Tensor = self.layers(observation.to(torch.get_default_dtype()) * self.scale)
        return features
