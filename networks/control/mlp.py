"""A multilayer perceptron for vector observations; other observations are flattened."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.lanes import ObservationSpec
from networks.torso import Torso, hidden_layers


class MLP(Torso):
    """[B, features] -> features [B, D] through hidden layers of ReLU units."""

    def __init__(self, spec: ObservationSpec, hidden: Sequence[int] = (128, 128)) -> None:
        """Images are flattened. ``hidden`` are the units of each layer; D is the last."""
        super().__init__()
        self.scale = 1.0 / 255.0 if spec.dtype == "uint8" else 1.0
        inputs = 1
        for size in spec.stacked_shape:
            inputs *= size
        self.layers = nn.Sequential(nn.Flatten(), *hidden_layers(inputs, hidden))
        self.num_features = hidden[-1]

    def drop_hidden(self) -> int:
        """Leave off the last hidden layer; see `Torso.drop_hidden`."""
        *kept, last, _ = self.layers
        assert isinstance(last, nn.Linear)
        self.num_features = last.in_features
        self.layers = nn.Sequential(*kept)
        return self.num_features

    def forward(self, observation: Tensor) -> Tensor:
        """Observations [B, ...] to features [B, D]."""
        scale = 1.0 if observation.is_floating_point() else self.scale  # floats: normalised already
        features: Tensor = self.layers(observation.to(torch.get_default_dtype()) * scale)
        return features
