"""ResNets: torchvision's, with the same weights; those for small images, against plain formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import UserError
from networks.registry import build_network
from networks.vision.resnet import ResNet, ResNetConfig
from networks.vision.resnet_cifar import PRESETS, Block, SmallResNet, SmallResNetConfig
from networks.weights import load_official
from tests.networks.reference import torchvision_models

DEPTHS = (18, 34, 50, 101, 152)


def pair(depth: int, num_classes: int = 7) -> tuple[nn.Module, nn.Module]:
    """Ours and torchvision's with the same weights and random running statistics."""
    torch.manual_seed(depth)
    theirs = getattr(torchvision_models(), f"resnet{depth}")(num_classes=num_classes)
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.uniform_(0.3, 0.7)  # keeps the signal's size through 152 layers
                module.bias.normal_(std=0.1)
    ours = build_network(f"resnet{depth}", num_classes=num_classes)
    load_official(ours, theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("depth", DEPTHS)
def test_evaluation_equals_torchvision(depth: int) -> None:
    networks = [network.eval() for network in pair(depth)]
    images = torch.randn(2, 3, 40, 33)
    outputs, gradients = [], []
    for network in networks:
        pixels = images.clone().requires_grad_()
        logits = network(pixels)
        logits.square().sum().backward()
        outputs.append(logits)
        gradients.append(pixels.grad)
    assert outputs[0].abs().max() > 1e-3 and outputs[0].shape == (2, 7)
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    gradients = [gradient / gradients[1].abs().max() for gradient in gradients]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_training_equals_torchvision() -> None:
    networks = pair(18)
    images, classes = torch.randn(4, 3, 40, 40), torch.tensor([0, 3, 6, 1])
    losses = [F.cross_entropy(network.train()(images), classes) for network in networks]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    ours, theirs = ({n: p.grad for n, p in network.named_parameters()} for network in networks)
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-5, rtol=1e-5)
    statistics = [network.state_dict()["layer4.1.bn2.running_var"] for network in networks]
    torch.testing.assert_close(*statistics)


def test_every_part_can_be_chosen() -> None:
    config = ResNetConfig(
        num_classes=3, in_channels=4, block="bottleneck", blocks=(1, 1, 1, 1),
        widths=(16, 32, 64, 128), activation="mish", normalisation="group",
    )  # fmt: skip
    network = ResNet(config)
    assert network(torch.randn(2, 4, 32, 32)).shape == (2, 3)
    assert network.forward_features(torch.randn(2, 4, 5, 9)).shape == (2, network.num_features)
    assert not any(isinstance(module, nn.BatchNorm2d | nn.ReLU) for module in network.modules())
    with pytest.raises(UserError, match="did you mean 'bottleneck'"):
        ResNet(ResNetConfig(block="botleneck"))


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_blocks_may_begin_as_the_identity(block: str) -> None:
    network = ResNet(ResNetConfig(block=block, blocks=(2, 1, 1, 1), zero_last_norm=True)).eval()
    maps = torch.rand(2, network.layer1[1].conv1.in_channels, 6, 6)
    assert torch.equal(network.layer1[1](maps), maps)
    ordinary = ResNet(ResNetConfig(block=block, blocks=(2, 1, 1, 1))).eval()
    assert not torch.equal(ordinary.layer1[1](maps), maps)


# ------------------------------------------------------------------ small images


def slow_block(block: Block, x: Tensor, stride: int, shortcut: bool) -> Tensor:
    """The same in functions; the shortcut as a strided 1x1 convolution by the unit matrix."""

    def normalised(y: Tensor, norm: nn.Module) -> Tensor:
        mean, variance = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), False, keepdim=True)
        scale, shift = (weight[:, None, None] for weight in (norm.weight, norm.bias))
        return (y - mean) / (variance + 1e-5).sqrt() * scale + shift

    y = F.conv2d(x, block.conv1.weight, stride=stride, padding=1)
    y = F.conv2d(normalised(y, block.bn1).clamp(min=0), block.conv2.weight, padding=1)
    y = normalised(y, block.bn2)
    if shortcut:
        unit = torch.eye(y.shape[1], x.shape[1], dtype=x.dtype)
        y = y + F.conv2d(x, unit[:, :, None, None], stride=stride)
    return y.clamp(min=0)


@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize(("inputs", "width", "stride", "side"), [(6, 6, 1, 5), (4, 8, 2, 7)])
def test_a_block_equals_its_formula(
    inputs: int, width: int, stride: int, side: int, shortcuts: bool
) -> None:
    torch.manual_seed(0)
    block = Block(inputs, width, stride, SmallResNetConfig(shortcuts=shortcuts)).double()
    nn.init.uniform_(block.bn2.weight)
    outputs, gradients = [], []
    images = torch.randn(3, inputs, side, side + 1, dtype=torch.float64)
    for run in (block, lambda x: slow_block(block, x, stride, shortcuts)):
        x = images.clone().requires_grad_()
        y = run(x)
        y.square().sum().backward()
        outputs.append(y)
        gradients.append(x.grad)
    torch.testing.assert_close(*outputs, atol=1e-12, rtol=0)
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize(("name", "layers"), [("resnet20", 20), ("resnet110", 110)])
def test_layers_and_planes_are_the_papers(name: str, layers: int) -> None:
    network = build_network(name)
    assert isinstance(network, SmallResNet)
    counted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(counted) == layers
    shapes: list[tuple[int, ...]] = []
    for stage in (network.layer1, network.layer2, network.layer3):
        stage.register_forward_hook(lambda _, __, maps: shapes.append(tuple(maps.shape[1:])))
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_plain_networks_differ_by_their_shortcuts_alone() -> None:
    torch.manual_seed(0)
    residual, plain = build_network("resnet20").eval(), build_network("plain20").eval()
    load_official(plain, residual.state_dict())  # the same parameters
    images = torch.randn(2, 3, 16, 16)
    assert not torch.allclose(residual(images), plain(images))
    silent = [name for name in residual.state_dict() if "layer" in name and "bn2" in name]
    with torch.no_grad():
        for network in (residual, plain):
            for name in silent:
                if name.endswith(("weight", "bias")):
                    network.get_parameter(name).zero_()
        # F is 0 now: the residual network passes its stem on, the plain one nothing.
        assert plain.forward_features(images).abs().max() == 0
        stem = torch.relu(residual.bn1(residual.conv1(images)))[:, :, ::4, ::4].mean((2, 3))
        features = residual.forward_features(images)
        torch.testing.assert_close(features[:, :16], stem)
        assert features[:, 16:].abs().max() == 0
    assert PRESETS["plain56"].blocks == PRESETS["resnet56"].blocks == 9
