"""Image networks in the place of torsos and of Zero's tower.

    ImageTorso   frames uint8 [B, K, H, W] or [B, K, H, W, C]  ->  features [B, D]
    ImageTrunk   a board's planes [B, C, H, W]                 ->  maps [B, F, H, W]

The classifier is cut off. Sizes are tried out when a network is built, so that one that does not
fit is refused with one line.

Legend: B batch, K frames, C channels, H W plane, D features, F channels of maps.
"""

from __future__ import annotations

import dataclasses
from math import gcd

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.lanes import ObservationSpec
from networks.base import ImageNetwork
from networks.control.transformer_torso import TransformerTrunk
from networks.registry import build_network, network_config
from networks.torso import Torso, image_channels, require_image, scale_image

CHANNELS_PER_GROUP = 16
"""Of group normalisation: among the best of Wu & He 2018, table 3."""


class ImageTorso(Torso):
    """An image network that looks at frames.

    Its features depend on the frames alone, in training as in play. So dropout is off, and group
    normalisation takes the place of batch normalisation, whose statistics of replayed batches
    would not be those of the lanes that act, and of which one lane has none.
    """

    def __init__(self, name: str, spec: ObservationSpec) -> None:
        """Args:
        name: of an image network in the registry.
        spec: the observations.

        Raises:
            UserError: observations are vectors, or images that the network cannot take.
        """
        super().__init__()
        require_image(spec, name, 1)
        height, width = spec.shape[:2]
        self.network = fitted_network(name, image_channels(spec), height, width)
        self.num_features = self.network.num_features
        group_for_batch_normalisation(self.network)
        self.network.eval()

    def train(self, mode: bool = True) -> ImageTorso:
        """The network itself stays as in evaluation."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, observation: Tensor) -> Tensor:
        """Frames, uint8 [B, K, H, W] or [B, K, H, W, C], to features [B, D]."""
        return self.network.forward_features(scale_image(observation))


class ImageTrunk(nn.Module):
    """An image network that looks at boards: a linear layer makes maps of its features, so that
    its weights depend on the board's size."""

    def __init__(self, name: str, planes: int, height: int, width: int, channels: int) -> None:
        """Raises UserError for a board that the network cannot take."""
        super().__init__()
        self.network = fitted_network(name, planes, height, width)
        self.shape = (channels, height, width)
        self.maps = nn.Linear(self.network.num_features, channels * height * width)

    def forward(self, planes: Tensor) -> Tensor:
        """[B, C, H, W] to [B, F, H, W]"""
        features = self.network.forward_features(planes)  # [B, D]
        return torch.relu(self.maps(features)).view(-1, *self.shape)


def build_trunk(
    name: str, planes: int, height: int, width: int, channels: int, blocks: int
) -> nn.Module:
    """What stands in for Zero's tower: planes [B, C, H, W] to maps [B, F, H, W].

    Args:
        name: 'transformer', or an image network of the registry.
        planes: C.
        height: H.
        width: W.
        channels: F.
        blocks: of the Transformer; an image network has its own.

    Raises:
        UserError: unknown name, or a board that the network cannot take.
    """
    if name == "transformer":
        return TransformerTrunk(planes, channels, blocks)
    return ImageTrunk(name, planes, height, width, channels)


def fitted_network(name: str, channels: int, height: int, width: int) -> ImageNetwork:
    """An image network for [B, channels, height, width], without its classifier.

    Raises:
        UserError: the network cannot take such images; says what it needs.
    """
    changes: dict[str, object] = {"in_channels": channels}
    if "image_size" in {field.name for field in dataclasses.fields(network_config(name))}:
        changes["image_size"] = (height, width)
    network = build_network(name, **changes)
    assert isinstance(network, ImageNetwork)
    network.require_size(name, height, width)
    network.eval()
    try:
        features = network.forward_features(torch.zeros(1, channels, height, width))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"network {name} cannot take {height}x{width} images: {reason}") from error
    assert features.shape == (1, network.num_features)
    cut_unused(network, features)
    network.train()
    return network


def cut_unused(network: nn.Module, features: Tensor) -> None:
    """Replace every part whose weights the features do not depend on: classifiers."""
    weights = list(network.parameters())
    gradients = torch.autograd.grad(features.sum(), weights, allow_unused=True)
    used = {w for w, gradient in zip(weights, gradients, strict=True) if gradient is not None}

    def cut(module: nn.Module) -> None:
        for name, child in module.named_children():
            inner = set(child.parameters())
            if inner and not inner & used:
                setattr(module, name, nn.Identity())
            else:
                cut(child)

    cut(network)


def group_for_batch_normalisation(network: nn.Module) -> None:
    """Replace batch by group normalisation of the same parameters' names (Wu & He 2018)."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            channels = module.num_features
            groups = gcd(channels, max(1, channels // CHANNELS_PER_GROUP))
            network.set_submodule(name, nn.GroupNorm(groups, channels, module.eps))
