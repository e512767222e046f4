"""LeNet-5: the paper's counts and formulas, and today's form against plain functions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.errors import UserError
from networks.registry import build_network
from networks.vision.lenet import (
    C3_SEES,
    PRESETS,
    CodeOutput,
    LeNet,
    LeNetConfig,
    ScaledTanh,
    SparseConvolution,
    TrainedPool,
)
from tests.networks.parity import shapes_after


def sizes(network: nn.Module) -> dict[str, int]:
    return {
        name: sum(p.numel() for p in layer.parameters())
        for name, layer in network.named_children()
        if any(True for _ in layer.parameters())
    }


def test_layers_have_the_papers_counts() -> None:
    original = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert sizes(build_network("lenet5_1998")) == original
    today = {"c1": 156, "c3": 2416, "c5": 48_120, "f6": 10_164, "output": 850}
    assert sizes(build_network("lenet5")) == today


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("side", [28, 32])
def test_planes_are_the_papers(name: str, side: int) -> None:
    shapes = shapes_after(
        build_network(name), ["c1", "s2", "c3", "s4", "c5", "f6"], torch.randn(2, 1, side, side)
    )
    assert shapes == [[6, 28, 28], [6, 14, 14], [16, 10, 10], [16, 5, 5], [120], [84]]


def test_table_one() -> None:
    """Every map of S2 is seen ten times; contiguous threes and fours, three others, all."""
    assert Counter(seen for maps in C3_SEES for seen in maps) == dict.fromkeys(range(6), 10)
    assert [len(maps) for maps in C3_SEES] == [3] * 6 + [4] * 9 + [6]
    assert len(set(C3_SEES)) == 16
    for first, maps in enumerate(C3_SEES[:12]):
        assert set(maps) == {(first + step) % 6 for step in range(3 if first < 6 else 4)}


def test_sparse_convolution_equals_one_for_each_map() -> None:
    torch.manual_seed(0)
    layer = SparseConvolution(6, C3_SEES, 5).double()
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 6, 9, 8, dtype=torch.float64)

    def slow(weight: torch.Tensor) -> torch.Tensor:
        maps, first = [], 0
        for bias, seen in zip(layer.bias, C3_SEES, strict=True):
            kernels = weight[first : first + len(seen)]
            maps.append(F.conv2d(x[:, list(seen)], kernels[None]) + bias)
            first += len(seen)
        return torch.cat(maps, dim=1)

    torch.testing.assert_close(layer(x), slow(layer.weight), atol=1e-12, rtol=0)
    gradients = [
        torch.autograd.grad(maps.pow(3).sum(), layer.weight)[0]
        for maps in (layer(x), slow(layer.weight))
    ]
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=1e-10)


def test_trained_pool_equals_its_formula() -> None:
    pool = TrainedPool(3, ScaledTanh())
    nn.init.normal_(pool.coefficient)
    nn.init.normal_(pool.bias)
    x = torch.randn(2, 3, 4, 6)
    sums = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
    for channel in range(3):
        a = pool.coefficient[channel] * sums[:, channel] + pool.bias[channel]
        torch.testing.assert_close(pool(x)[:, channel], 1.7159 * torch.tanh(a * 2 / 3))
    torch.testing.assert_close(
        ScaledTanh()(torch.tensor([-1.0, 1.0])), torch.tensor([-1.0, 1.0]), atol=1e-4, rtol=0
    )


def test_cross_entropy_of_the_codes_is_the_papers_loss() -> None:
    """Equation 9: the distance to the right class, and log sum e^-distance over all."""
    torch.manual_seed(0)
    output = CodeOutput(84, 5)
    assert output.codes.abs().min() == 1 and not list(output.parameters())
    x = torch.randn(3, 84)
    distances = torch.cdist(x, output.codes).square()
    classes = torch.tensor([4, 0, 2])
    right = distances[torch.arange(3), classes]
    loss = (right + (-distances).logsumexp(dim=1)).mean()
    torch.testing.assert_close(F.cross_entropy(output(x), classes), loss)
    assert output(output.codes).argmax(dim=1).tolist() == list(range(5))


def test_codes_are_saved_with_the_weights() -> None:
    one, other = (build_network("lenet5_1998").eval() for _ in range(2))
    other.load_state_dict(one.state_dict())
    images = torch.randn(2, 1, 28, 28)
    assert torch.equal(one(images), other(images))


def test_todays_form_equals_plain_functions() -> None:
    torch.manual_seed(0)
    network = build_network("lenet5")
    images = torch.randn(2, 1, 32, 32, requires_grad=True)
    w = network.state_dict(keep_vars=True)
    x = F.max_pool2d(F.conv2d(images, w["c1.weight"], w["c1.bias"]).relu(), 2)
    x = F.max_pool2d(F.conv2d(x, w["c3.weight"], w["c3.bias"]).relu(), 2).flatten(1)
    x = F.linear(x, w["c5.weight"], w["c5.bias"]).relu()
    x = F.linear(x, w["f6.weight"], w["f6.bias"]).relu()
    logits = F.linear(x, w["output.weight"], w["output.bias"])
    torch.testing.assert_close(network(images), logits)
    (wanted,) = torch.autograd.grad(logits.square().sum(), images)
    (got,) = torch.autograd.grad(network(images).square().sum(), images)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_smaller_images_stand_in_the_middle(name: str) -> None:
    network = build_network(name).eval()
    digit = torch.randn(2, 1, 27, 28)
    plane = torch.zeros(2, 1, 32, 32)
    plane[:, :, 2:29, 2:30] = digit
    assert torch.equal(network(digit), network(plane))


def test_larger_images_need_a_larger_plane() -> None:
    with pytest.raises(UserError, match=r"up to 32x32, these are 33x32; set image_size"):
        build_network("lenet5")(torch.zeros(1, 1, 33, 32))
    network = build_network("lenet5", image_size=(84, 40), in_channels=4, num_classes=3)
    assert network(torch.randn(2, 4, 84, 40)).shape == (2, 3)
    assert build_network("lenet5", image_size=(9, 9)).c5.in_features == 400


@pytest.mark.parametrize(
    ("field", "wrong", "message"),
    [
        ("connections", "tabel", "did you mean 'table'"),
        ("pooling", "maximum", r"no pooling 'maximum'.*\(known: max, average, trained\)"),
        ("output", "code", "did you mean 'codes'"),
        ("activation", "rleu", "did you mean 'relu'"),
        ("activation", "scaled_tahn", "did you mean 'scaled_tanh'"),
    ],
)
def test_unknown_parts_are_refused(field: str, wrong: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        LeNet(replace(LeNetConfig(), **{field: wrong}))
