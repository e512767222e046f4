"""Highway layers against a slow formula, and what their gates are for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from core.errors import UserError
from networks.registry import build_network, network_config
from networks.vision.highway import Highway, HighwayConfig, HighwayLayer


def slow_layer(layer: HighwayLayer, x: list[float]) -> list[float]:
    """y_i = tanh(w_i x + b_i) t_i + x_i (1 - t_i), unit by unit."""
    out = []
    for unit, carried in enumerate(x):
        sums = [
            sum(w * value for w, value in zip(part.weight[unit].tolist(), x, strict=True))
            + part.bias[unit].item()
            for part in (layer.transform, layer.gate)
        ]
        gate = 1 / (1 + math.exp(-sums[1]))
        out.append(math.tanh(sums[0]) * gate + carried * (1 - gate))
    return out


def test_a_layer_equals_its_formula() -> None:
    torch.manual_seed(0)
    layer = HighwayLayer(6, HighwayConfig()).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    wanted = torch.tensor([slow_layer(layer, row) for row in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(layer(x), wanted, atol=1e-12, rtol=0)
    # The gradient against differences of the slow formula.
    step, row = 1e-6, x[0].tolist()
    gradient = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0], x[0])
    for unit in range(6):
        moved = [[v + s * (i == unit) for i, v in enumerate(row)] for s in (step, -step)]
        above, below = (torch.tensor(slow_layer(layer, m), dtype=torch.float64) for m in moved)
        torch.testing.assert_close(
            gradient[:, unit], (above - below) / (2 * step), atol=1e-8, rtol=0
        )


def test_closed_gates_carry_and_open_gates_transform() -> None:
    layer = HighwayLayer(5, HighwayConfig())
    x = torch.randn(3, 5)
    nn.init.constant_(layer.gate.bias, -100.0)
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.gate.bias, 100.0)
    torch.testing.assert_close(layer(x), torch.tanh(layer.transform(x)))


def test_fifty_layers_pass_on_what_closed_gates_carry() -> None:
    network = build_network("highway", gate_bias=-30.0)
    images = torch.rand(4, 1, 28, 28)
    carried = network.first(images.flatten(1))
    torch.testing.assert_close(network.forward_features(images), carried)


def test_presets_are_the_papers() -> None:
    """About 5,000 parameters a layer, with gates or without; gates begin nearly closed."""
    highway, plain = build_network("highway"), build_network("plain")
    sizes = [sum(p.numel() for p in net.layers[0].parameters()) for net in (highway, plain)]
    assert sizes == [2 * (50 * 50 + 50), 71 * 71 + 71]
    assert len(highway.layers) == len(plain.layers) == 49
    assert not any(isinstance(module, HighwayLayer) for module in plain.modules())
    for layer in highway.layers:
        assert layer.gate.bias.tolist() == [-2.0] * 50
    images = torch.rand(2, 1, 28, 28)
    assert highway(images).shape == plain(images).shape == (2, 10)
    highway(images).sum().backward()
    assert all(p.grad is not None for p in highway.parameters())


def test_images_of_another_size_are_refused() -> None:
    network = Highway(network_config("highway", image_size=(8, 6), in_channels=2, depth=3))
    assert network(torch.rand(2, 2, 8, 6)).shape == (2, 10)
    with pytest.raises(UserError, match=r"\[2, 8, 6\].*these are \[2, 6, 8\]; set in_channels"):
        network(torch.rand(2, 2, 6, 8))
