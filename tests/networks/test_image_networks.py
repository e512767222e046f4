"""What LeNet, AlexNet, VGG and the Inception networks promise alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from networks.base import ImageNetwork
from networks.registry import build_network, network_config
from networks.space import search_space

THIN: dict[str, dict[str, Any]] = {
    "lenet5": {}, "lenet5_1998": {},
    "alexnet": {"hidden": 8}, "alexnet2012": {"hidden": 8},
    "vgg11": {"hidden": 8}, "vgg19_bn": {"hidden": 8},
    "googlenet": {}, "googlenet_aux": {}, "googlenet_5x5": {},
    "inception_v4": {"blocks": (1, 1, 1)}, "inception_resnet_v2": {"blocks": (1, 1, 1)},
}  # fmt: skip
"""Presets, and changes that make them quick."""


def thin(name: str, **changes: Any) -> ImageNetwork:
    network = build_network(name, **(THIN[name] | changes))
    assert isinstance(network, ImageNetwork)
    return network


@pytest.mark.parametrize("name", THIN)
def test_other_classes_and_channels_down_to_the_smallest_image(name: str) -> None:
    network = thin(name, num_classes=3, in_channels=2).eval()
    side = network.smallest_input
    network.require_size(name, side, side)
    images = torch.randn(2, 2, side, side)
    with torch.no_grad():
        features = network.forward_features(images)
        assert features.shape == (2, network.num_features)
        assert network(images).shape == (2, 3)
        if side > 1:
            with pytest.raises(RuntimeError):
                network(torch.randn(2, 2, side - 1, side))
            with pytest.raises(UserError, match=f"needs images of {side}x{side} or more"):
                network.require_size(name, side - 1, side)


@pytest.mark.parametrize("name", THIN)
def test_the_last_layer_makes_logits_of_the_features(name: str) -> None:
    network = thin(name, num_classes=4).eval()
    side = max(16, network.smallest_input)
    images = torch.randn(2, network_config(name).in_channels, side, side)
    last: list[Tensor] = []
    heads = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == 4]
    head = network.output if name == "lenet5_1998" else heads[-1]
    assert isinstance(head, nn.Module)
    head.register_forward_pre_hook(lambda _, inputs: last.append(inputs[0]))
    with torch.no_grad():
        network(images)
        torch.testing.assert_close(last[0], network.forward_features(images))


@pytest.mark.parametrize("name", [name for name in THIN if name != "googlenet_aux"])
def test_every_parameter_learns(name: str) -> None:
    torch.manual_seed(0)
    network = thin(name, num_classes=4).train()
    side = 32 + network.smallest_input if network.smallest_input > 1 else 32
    images = torch.randn(3, network_config(name).in_channels, side, side)
    network(images).square().sum().backward()
    for parameter_name, parameter in network.named_parameters():
        gradient = parameter.grad
        assert gradient is not None and gradient.isfinite().all(), parameter_name
        assert gradient.abs().max() > 0, parameter_name


FAMILIES = ("lenet5", "alexnet", "vgg11", "googlenet", "inception_v4", "inception_resnet_v2")


@pytest.mark.parametrize("name", FAMILIES)
def test_everything_that_a_search_may_choose_works(name: str) -> None:
    """Networks that together have every value of every field, but those that make them thin."""
    space = search_space(type(network_config(name)))
    for turn in range(max(len(values) for values in space.values())):
        chosen = {field: values[turn % len(values)] for field, values in space.items()}
        with torch.device("meta"):
            network = thin(name, num_classes=3, **(chosen | THIN[name]))
            side = 32 + network.smallest_input if network.smallest_input > 1 else 32
            images = torch.empty(2, network_config(name).in_channels, side, side)
            assert network(images).shape == (2, 3)
