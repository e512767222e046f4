"""AlexNet: torchvision's with the same weights, and the paper's two towers apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.registry import build_network
from networks.weights import load_official
from tests.networks.parity import assert_equal_functions, randomise, shapes_after
from tests.networks.reference import torchvision_models


def torchvision_alexnet(hidden: int, num_classes: int) -> nn.Module:
    """Theirs with narrower hidden layers, on the meta device."""
    with torch.device("meta"):
        network = torchvision_models().alexnet(num_classes=num_classes)
        network.classifier[1] = nn.Linear(256 * 6 * 6, hidden)
        network.classifier[4] = nn.Linear(hidden, hidden)
        network.classifier[6] = nn.Linear(hidden, num_classes)
    return network  # type: ignore[no-any-return]


@pytest.mark.parametrize(("height", "width"), [(63, 63), (70, 97)])
def test_evaluation_equals_torchvision(height: int, width: int) -> None:
    theirs = randomise(torchvision_alexnet(hidden=24, num_classes=5))
    ours = build_network("alexnet", hidden=24, num_classes=5)
    load_official(ours, theirs.state_dict())
    assert_equal_functions(ours, theirs, torch.randn(2, 3, height, width))


def test_torchvisions_weights_have_our_names_and_shapes() -> None:
    with torch.device("meta"):
        theirs = torchvision_models().alexnet().state_dict()
        ours = build_network("alexnet").state_dict()
    assert {n: w.shape for n, w in ours.items()} == {n: w.shape for n, w in theirs.items()}


@pytest.mark.parametrize(
    ("name", "channels"), [("alexnet2012", (96, 256, 384, 384, 256)), ("alexnet", None)]
)
def test_planes_are_the_papers(name: str, channels: tuple[int, ...] | None) -> None:
    """55x55, 27x27, 13x13, and 6x6 before the hidden layers of 4096."""
    with torch.device("meta"):
        network, images = build_network(name), torch.empty(1, 3, 224, 224)
        convolutions = [
            f"features.{i}" for i, m in enumerate(network.features) if isinstance(m, nn.Conv2d)
        ]
        last = f"features.{len(network.features) - 1}"
        hidden = [f"classifier.{i}" for i, m in enumerate(network.classifier[:-1])]
        shapes = shapes_after(network, [*convolutions, last, hidden[-1]], images)
    first, second, third, fourth, fifth = channels or (64, 192, 384, 256, 256)
    assert shapes == [
        [first, 55, 55], [second, 27, 27], [third, 13, 13], [fourth, 13, 13], [fifth, 13, 13],
        [256, 6, 6], [4096],
    ]  # fmt: skip


def inhibited(a: Tensor) -> Tensor:
    """Section 3.3, channel by channel: b = a / (2 + 1e-4 sum a^2)^0.75 over five neighbours."""
    channels = a.shape[1]
    maps = [
        a[:, i] / (2 + 1e-4 * a[:, max(0, i - 2) : min(channels, i + 3)].square().sum(1)) ** 0.75
        for i in range(channels)
    ]
    return torch.stack(maps, dim=1)


def two_towers(network: nn.Module, images: Tensor) -> Tensor:
    """The convolutions of the paper's figure 2: each tower by itself, but for the third."""
    layers = [m for m in network.features if isinstance(m, nn.Conv2d)]
    first, second, third, fourth, fifth = layers

    def part(x: Tensor, layer: nn.Conv2d, tower: int) -> Tensor:
        weight, bias = layer.weight.chunk(2)[tower], layer.bias.chunk(2)[tower]
        return F.conv2d(x, weight, bias, layer.stride, layer.padding).relu()

    def joined(towers: list[Tensor]) -> Tensor:
        return torch.cat(towers, dim=1)

    towers = [part(images, first, tower) for tower in range(2)]
    towers = list(F.max_pool2d(inhibited(joined(towers)), 3, 2).chunk(2, dim=1))
    towers = [part(towers[tower], second, tower) for tower in range(2)]
    both = F.max_pool2d(inhibited(joined(towers)), 3, 2)
    towers = [part(both, third, tower) for tower in range(2)]
    towers = [part(towers[tower], fourth, tower) for tower in range(2)]
    towers = [part(towers[tower], fifth, tower) for tower in range(2)]
    return F.max_pool2d(joined(towers), 3, 2)


def test_groups_are_the_papers_towers() -> None:
    network = randomise(build_network("alexnet2012", hidden=8, num_classes=5)).double().eval()
    images = 30 * torch.randn(2, 3, 67, 63, dtype=torch.float64, requires_grad=True)
    ours, theirs = network.features(images), two_towers(network, images)
    assert theirs.abs().max() > 1
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
    gradients = [torch.autograd.grad(maps.sum(), images)[0] for maps in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=1e-10)


def test_dropout_is_where_each_paper_has_it() -> None:
    kinds = {
        name: "".join(type(m).__name__[0] for m in build_network(name, hidden=8).classifier)
        for name in ("alexnet2012", "alexnet")
    }
    assert kinds == {"alexnet2012": "LRDLRDL", "alexnet": "DLRDLRL"}
