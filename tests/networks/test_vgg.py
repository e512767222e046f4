"""VGG: torchvision's with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.registry import build_network
from networks.vision.vgg import PRESETS
from networks.weights import load_official
from tests.networks.parity import assert_equal_functions, randomise, shapes_after
from tests.networks.reference import torchvision_models

HIDDEN = 8


def torchvision_vgg(name: str, num_classes: int) -> nn.Module:
    """Theirs with narrower hidden layers, on the meta device."""
    with torch.device("meta"):
        network = getattr(torchvision_models(), name)(num_classes=num_classes)
        network.classifier[0] = nn.Linear(512 * 7 * 7, HIDDEN)
        network.classifier[3] = nn.Linear(HIDDEN, HIDDEN)
        network.classifier[6] = nn.Linear(HIDDEN, num_classes)
    return network  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", PRESETS)
def test_evaluation_equals_torchvision(name: str) -> None:
    theirs = randomise(torchvision_vgg(name, num_classes=5))
    ours = build_network(name, hidden=HIDDEN, num_classes=5)
    load_official(ours, theirs.state_dict())
    assert_equal_functions(ours, theirs, torch.randn(2, 3, 32, 32))


def test_other_planes_are_averaged_as_in_torchvision() -> None:
    theirs = randomise(torchvision_vgg("vgg11", num_classes=5))
    ours = build_network("vgg11", hidden=HIDDEN, num_classes=5)
    load_official(ours, theirs.state_dict())
    assert_equal_functions(ours, theirs, torch.randn(2, 3, 70, 96))


@pytest.mark.parametrize("name", PRESETS)
def test_torchvisions_weights_have_our_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision_models(), name)().state_dict()
        ours = build_network(name).state_dict()
    assert {n: w.shape for n, w in ours.items()} == {n: w.shape for n, w in theirs.items()}


@pytest.mark.parametrize("name", PRESETS)
def test_layers_and_planes_are_the_papers(name: str) -> None:
    """Table 1: as many weight layers as the name says; 224 to 7 in five halvings."""
    with torch.device("meta"):
        network = build_network(name)
        pools = [
            f"features.{i}" for i, m in enumerate(network.features) if isinstance(m, nn.MaxPool2d)
        ]
        before = [f"features.{int(pool.split('.')[1]) - 1}" for pool in pools]
        shapes = shapes_after(network, [*before, *pools], torch.empty(1, 3, 224, 224))
    weighted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == int(name.removeprefix("vgg").removesuffix("_bn"))
    assert sorted(shapes, reverse=True) == [
        [512, 28, 28], [512, 14, 14], [512, 14, 14], [512, 7, 7],
        [256, 56, 56], [256, 28, 28], [128, 112, 112], [128, 56, 56],
        [64, 224, 224], [64, 112, 112],
    ]  # fmt: skip
    assert all(m.kernel_size == (3, 3) for m in weighted if isinstance(m, nn.Conv2d))
