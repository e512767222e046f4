"""Inception-v4 and Inception-ResNet-v2: timm's with the same weights; tables of branches."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from core.errors import UserError
from networks.blocks.branches import AVERAGE, build_layer
from networks.blocks.conv import EPSILON, ConvNormActivation, same, valid
from networks.registry import build_network
from networks.vision.inception_resnet_v2 import InceptionResNetV2Config, ResidualBlock
from networks.vision.inception_v4 import InceptionV4Config, rename_timm
from networks.weights import load_official
from tests.networks.parity import assert_equal_functions, randomise, shapes_after
from tests.networks.reference import timm

RENAMES = {"inception_v4": rename_timm, "inception_resnet_v2": str}


def timm_network(name: str) -> Any:
    """Theirs with few classes, on the meta device."""
    with torch.device("meta"):
        return timm().create_model(name, num_classes=5)


@pytest.mark.parametrize("name", RENAMES)
def test_evaluation_equals_timm(name: str) -> None:
    theirs = randomise(timm_network(name))
    with torch.device("meta"):
        ours = build_network(name, num_classes=5)
    ours.to_empty(device="cpu")
    load_official(ours, theirs.state_dict(), RENAMES[name])
    assert_equal_functions(ours, theirs, torch.randn(2, 3, 75, 76))


def test_planes_of_inception_v4_are_the_papers() -> None:
    """Figures 3 and 9."""
    layers = [f"features.{i}" for i in (0, 1, 2, 3, 4, 5, 9, 10, 17, 18, 21)]
    with torch.device("meta"):
        network = build_network("inception_v4")
        shapes = shapes_after(network, layers, torch.empty(1, 3, 299, 299))
    assert shapes == [
        [32, 149, 149], [32, 147, 147], [64, 147, 147], [160, 73, 73], [192, 71, 71],
        [384, 35, 35], [384, 35, 35], [1024, 17, 17], [1024, 17, 17], [1536, 8, 8], [1536, 8, 8],
    ]  # fmt: skip


def test_planes_of_inception_resnet_v2() -> None:
    layers = ["conv2d_1a", "conv2d_2b", "maxpool_3a", "conv2d_4a", "mixed_5b", "repeat",
              "mixed_6a", "repeat_1", "mixed_7a", "block8", "conv2d_7b"]  # fmt: skip
    with torch.device("meta"):
        network = build_network("inception_resnet_v2")
        shapes = shapes_after(network, layers, torch.empty(1, 3, 299, 299))
    assert shapes == [
        [32, 149, 149], [64, 147, 147], [64, 73, 73], [192, 71, 71], [320, 35, 35], [320, 35, 35],
        [1088, 17, 17], [1088, 17, 17], [2080, 8, 8], [2080, 8, 8], [1536, 8, 8],
    ]  # fmt: skip


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_residual_blocks_scale_their_branches(scale: float) -> None:
    torch.manual_seed(0)
    table = {"branch0": same(4, 1), "branch1": [same(4, 1), same(6, 3)]}
    config = InceptionResNetV2Config()
    block = ResidualBlock(8, table, scale, "relu", config).eval()
    assert block.conv2d.in_channels == 10
    x = torch.randn(2, 8, 5, 6)
    branches = torch.cat([block.branch0(x), block.branch1(x)], dim=1)
    torch.testing.assert_close(block(x), torch.relu(x + scale * block.conv2d(branches)))
    assert torch.equal(block(x), x.relu()) == (scale == 0)


def test_scales_and_blocks_are_those_of_the_config() -> None:
    with torch.device("meta"):
        network = build_network("inception_resnet_v2", blocks=(2, 1, 3), scales=(0.3, 0.2, 0.1))
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    assert [block.scale for block in blocks] == [0.3, 0.3, 0.2, 0.1, 0.1, 1.0]
    names = [type(block.activation).__name__ for block in blocks]
    assert names == ["ReLU"] * 5 + ["Identity"]


def test_tables_become_modules() -> None:
    """Dicts side by side in their order, lists one after another, channels handed on."""
    torch.manual_seed(0)
    table = {
        "left": [same(3, 1), {"a": same(4, (1, 3)), "b": valid(5, 3)}],
        "right": [AVERAGE, partial(nn.Dropout, 0.5)],
    }
    network, outputs = build_layer(
        [same(6, 5, stride=2), {"only": table["right"]}], 2, InceptionV4Config()
    )
    assert outputs == 6
    assert network.eval()(torch.randn(1, 2, 9, 11)).shape == (1, 6, 5, 6)
    del table["left"][1]["b"]
    network, outputs = build_layer(table, 2, InceptionV4Config())
    assert outputs == 4 + 2
    x = torch.randn(1, 2, 7, 7)
    maps = network.eval()(x)
    torch.testing.assert_close(maps[:, 4:], network.right(x))
    torch.testing.assert_close(maps[:, :4], network.left[1].a(network.left[0](x)))
    # The average counts no pixels outside the plane.
    torch.testing.assert_close(maps[:, 4:, 0, 0], x[:, :, :2, :2].mean((2, 3)))


def test_every_convolution_is_normalised_and_activated() -> None:
    config = InceptionV4Config(activation="mish", normalisation="group")
    layer = ConvNormActivation(4, same(8, (1, 3)), config)
    assert layer.conv.bias is None and layer.conv.padding == (0, 1)
    assert isinstance(layer.bn, nn.GroupNorm) and isinstance(layer.activation, nn.Mish)
    batch = ConvNormActivation(4, valid(8, 3, stride=2), InceptionV4Config())
    assert isinstance(batch.bn, nn.BatchNorm2d) and batch.bn.eps == EPSILON == 1e-3
    assert batch.conv.padding == (0, 0) and batch.conv.stride == (2, 2)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(batch(x), torch.relu(batch.bn(batch.conv(x))))
    with pytest.raises(UserError, match="did you mean 'batch'"):
        ConvNormActivation(4, same(8, 1), InceptionV4Config(normalisation="bach"))
