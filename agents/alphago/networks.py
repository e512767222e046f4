"""AlphaGo's networks from the options of any of its stages."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from agents.alphago.policy_config import TOWER
from envs.games.go.alphago_planes import POLICY_PLANES, VALUE_PLANES
from networks.base import ImageNetwork
from networks.control.alphago import PolicyTower, ValueTower
from tasks.network_options import build_fitted


class NetworkOptions(Protocol):
    """What the options of each stage say about its network."""

    @property
    def size(self) -> int:
        """Lines of the board."""

    @property
    def network(self) -> str:
        """The paper's tower, or an image network's name."""

    @property
    def network_options(self) -> str:
        """Changes to an image network's options."""

    @property
    def layers(self) -> int:
        """Convolutions of the tower."""

    @property
    def filters(self) -> int:
        """Of each."""


def build_policy_network(options: NetworkOptions) -> nn.Module:
    """Planes [B, 48, H, W] to logits of the points [B, H * W].

    Raises:
        UserError: the network cannot take boards of this size.
    """
    if options.network == TOWER:
        return PolicyTower(POLICY_PLANES, options.size, options.layers, options.filters)
    return _image_network(options, POLICY_PLANES, options.size**2)


def build_value_network(options: NetworkOptions) -> nn.Module:
    """Planes [B, 49, H, W] to expected outcomes [B], -1 to 1, of the player to move.

    Raises:
        UserError: the network cannot take boards of this size.
    """
    if options.network == TOWER:
        return ValueTower(VALUE_PLANES, options.size, options.layers, options.filters)
    return nn.Sequential(_image_network(options, VALUE_PLANES, 1), nn.Flatten(0), nn.Tanh())


def _image_network(options: NetworkOptions, planes: int, outputs: int) -> ImageNetwork:
    size = options.size
    fitted = {"num_classes": outputs, "in_channels": planes, "image_size": (size, size)}
    network = build_fitted(options.network, "image", options.network_options, fitted)
    assert isinstance(network, ImageNetwork)
    network.require_size(options.network, size, size)
    return network
