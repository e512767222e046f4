"""What every torso shares: observation in, features out.

Legend: B batch, K frames stacked, H W plane, C channels, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import UserError
from core.lanes import ObservationSpec


class Torso(nn.Module):
    """A network from observations to features [B, D]."""

    num_features: int
    """D, the width of the output."""

    def drop_hidden(self) -> int:
        """Leave off the last hidden layer, for heads that bring hidden layers of their own.

        Returns:
            D from now on; as before where a torso does not end in a fully connected layer.
        """
        hidden: Any = getattr(self, "hidden", None)
        if hidden is not None:
            *kept, last, _ = hidden
            self.num_features = int(last.in_features)
            self.hidden = nn.Sequential(*kept)
        return self.num_features


class OneHotTorso(Torso):
    """Numbered states, int64 [B, 1], to the features [B, D] that a torso gives of them one-hot.

    As a single float, neighbours in number would look alike that have nothing in common.
    """

    def __init__(self, torso: Torso, categories: int) -> None:
        """``torso`` takes vectors of so many ``categories``."""
        super().__init__()
        self.torso = torso
        self.num_features = torso.num_features
        self.categories = categories

    def drop_hidden(self) -> int:
        """See `Torso.drop_hidden`."""
        self.num_features = self.torso.drop_hidden()
        return self.num_features

    def forward(self, observation: Tensor) -> Tensor:
        """States, int64 [B, 1], to features [B, D]."""
        one_hot = functional.one_hot(observation.squeeze(1), self.categories)  # [B, categories]
        features: Tensor = self.torso(one_hot.to(torch.get_default_dtype()))
        return features


def hidden_layers(inputs: int, sizes: Sequence[int]) -> nn.Sequential:
    """A linear layer and ReLU for each size, one after another: [B, inputs] to [B, sizes[-1]]."""
    layers: list[nn.Module] = []
    for before, size in zip([inputs, *sizes], sizes, strict=False):
        layers += [nn.Linear(before, size), nn.ReLU()]
    return nn.Sequential(*layers)


def full_precision(layer: nn.Module, *inputs: Tensor) -> Tensor:
    """An output layer in float32, under autocast too: rounded to bf16, the values of the two best
    actions of a trained Pong agent tie in one state of 25."""
    low = (torch.bfloat16, torch.float16)
    with torch.autocast(inputs[0].device.type, enabled=False):
        outputs: Tensor = layer(*(x.float() if x.dtype in low else x for x in inputs))
    return outputs


def image_channels(spec: ObservationSpec) -> int:
    """Input channels of an image observation: frames times colours."""
    colours = spec.shape[2] if len(spec.shape) == 3 else 1
    return spec.stack * colours


def require_image(spec: ObservationSpec, network: str, smallest: int) -> None:
    """Raise UserError unless the observation is an image of at least ``smallest`` pixels."""
    if not spec.is_image:
        raise UserError(
            f"network {network} needs images, this environment shows vectors of shape "
            f"{spec.shape}; use --network mlp"
        )
    if min(spec.shape[:2]) < smallest:
        other = "mlp" if network == "small" else "small"
        raise UserError(
            f"network {network} needs images of {smallest}x{smallest} or more, this "
            f"environment shows {spec.shape[0]}x{spec.shape[1]}; use --network {other}"
        )


def scale_image(observation: Tensor) -> Tensor:
    """uint8 frames [B, K, H, W] or [B, K, H, W, C] to floats in 0..1, [B, K*C, H, W]; normalised
    ones as they are.

    Under autocast in its dtype, to which the first layer would round them all the same: bf16 holds
    0 to 255 exactly, and is one pass over half the bytes.
    """
    kind = observation.device.type
    autocast = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if autocast else torch.get_default_dtype()
    if observation.dim() == 5:
        observation = observation.movedim(4, 2).flatten(1, 2)  # [B, K*C, H, W]
    if observation.is_floating_point():  # normalised already
        return observation.to(dtype)
    # In place on a fresh copy: a second array of this size would cost as much as the arithmetic.
    return observation.to(dtype, copy=True).mul_(1.0 / 255.0)


def flattened_features(layers: nn.Module, channels: int, spec: ObservationSpec) -> int:
    """Features that convolutions give for this image size, counted by a dry run."""
    with torch.no_grad():
        return int(layers(torch.zeros(1, channels, *spec.shape[:2])).shape[1])
