"""GoogLeNet: torchvision's with the same weights, and the paper's table 1."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from networks.registry import build_network
from networks.weights import load_official
from tests.networks.parity import assert_equal_functions, randomise, shapes_after
from tests.networks.reference import torchvision_models


def torchvision_googlenet(auxiliary: bool) -> Any:
    """Theirs without dropout, with random weights and statistics."""
    with torch.device("meta"):
        network = torchvision_models().GoogLeNet(
            5, aux_logits=auxiliary, init_weights=False, dropout=0.0, dropout_aux=0.0
        )
    return randomise(network)


@pytest.mark.parametrize("name", ["googlenet", "googlenet_aux"])
def test_evaluation_equals_torchvision(name: str) -> None:
    theirs = torchvision_googlenet(auxiliary=name == "googlenet_aux")
    ours = build_network(name, num_classes=5)
    load_official(ours, theirs.state_dict())
    for side in (15, 40):
        assert_equal_functions(ours, theirs, torch.randn(2, 3, side, side + 1))


def test_training_with_auxiliary_heads_equals_torchvision() -> None:
    theirs = torchvision_googlenet(auxiliary=True).train()
    ours = build_network("googlenet_aux", num_classes=5, dropout=0.0, auxiliary_dropout=0.0)
    load_official(ours, theirs.state_dict())
    images, classes = torch.randn(4, 3, 64, 64), torch.tensor([0, 3, 2, 1])
    reference = theirs(images)
    logits, auxiliary = ours.train().logits_and_auxiliary(images)
    pairs = [
        (reference.logits, reference.aux_logits1, reference.aux_logits2),
        (logits, *auxiliary),
    ]
    for theirs_logits, ours_logits in zip(*pairs, strict=True):
        torch.testing.assert_close(ours_logits, theirs_logits, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(pairs[1][1], pairs[1][2], atol=0.1)
    for last, early, late in pairs:
        auxiliary_loss = F.cross_entropy(early, classes) + F.cross_entropy(late, classes)
        (F.cross_entropy(last, classes) + ours.auxiliary_weight * auxiliary_loss).backward()
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(
            ours.get_parameter(name).grad, parameter.grad, atol=1e-5, rtol=1e-4
        )


def test_forward_gives_the_logits_of_the_last_classifier_alone() -> None:
    images = torch.randn(2, 3, 32, 32)
    for name, count in (("googlenet_aux", 2), ("googlenet", 0)):
        network = build_network(name, num_classes=5, dropout=0.0).train()
        logits = network(images)
        assert logits.shape == (2, 5)
        again, auxiliary = network.logits_and_auxiliary(images)
        torch.testing.assert_close(again, logits)
        assert [other.shape for other in auxiliary] == [(2, 5)] * count


@pytest.mark.parametrize("name", ["googlenet", "googlenet_5x5"])
def test_planes_are_table_one(name: str) -> None:
    layers = ["conv1", "maxpool1", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3",
              "inception4a", "inception4b", "inception4c", "inception4d", "inception4e",
              "maxpool4", "inception5a", "inception5b"]  # fmt: skip
    with torch.device("meta"):
        shapes = shapes_after(build_network(name), layers, torch.empty(1, 3, 224, 224))
    assert shapes == [
        [64, 112, 112], [64, 56, 56], [192, 56, 56], [192, 28, 28], [256, 28, 28], [480, 28, 28],
        [480, 14, 14], [512, 14, 14], [512, 14, 14], [512, 14, 14], [528, 14, 14], [832, 14, 14],
        [832, 7, 7], [832, 7, 7], [1024, 7, 7],
    ]  # fmt: skip


def test_branches_of_a_module_see_what_the_paper_says() -> None:
    """How far a pixel reaches: 3x3 through every branch of torchvision's, 5x5 in the paper's."""
    reach = {}
    for name in ("googlenet", "googlenet_5x5"):
        with torch.device("meta"):
            network = build_network(name)
        branch = network.inception4c.branch3
        assert branch[0].conv.kernel_size == (1, 1)
        randomise(branch).eval()
        pixel = torch.zeros(1, 512, 11, 11, requires_grad=True)
        (gradient,) = torch.autograd.grad(branch(pixel)[..., 5, 5].sum(), pixel)
        reach[name] = int((gradient.abs().sum((0, 1)) > 0).sum())
    assert reach == {"googlenet": 9, "googlenet_5x5": 25}
