"""IMPALA's residual network: the published layers, and its pooling and sums in slow form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.errors import UserError
from core.frozen import FrozenCopy
from core.lanes import ObservationSpec
from networks.control.impala import ImpalaCNN, SpectralConv2d
from networks.registry import build_torso

ATARI = ObservationSpec((84, 84), "uint8", 4)


def test_parameters_and_layers_are_the_papers() -> None:
    """15 convolutions of 3x3; 11x11 pixels are left of 84x84; 256 units."""
    count, inputs = 0, 4
    for channels in (16, 32, 32):
        count += (9 * inputs + 1) * channels + 4 * (9 * channels + 1) * channels
        inputs = channels
    count += (11 * 11 * 32 + 1) * 256
    torso = build_torso("impala", ATARI)
    assert sum(parameter.numel() for parameter in torso.parameters()) == count == 1_089_232
    assert sum(isinstance(module, nn.Conv2d) for module in torso.modules()) == 15


def test_features_equal_a_slow_formula() -> None:
    torch.manual_seed(0)
    torso = ImpalaCNN(ObservationSpec((13, 10, 3), "uint8", 2))
    frames = torch.randint(0, 256, (3, 2, 13, 10, 3), dtype=torch.uint8)
    weights = [m for m in torso.modules() if isinstance(m, nn.Conv2d)]

    def convolved(x: torch.Tensor) -> torch.Tensor:
        layer = weights.pop(0)
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    x = frames.float().permute(0, 1, 4, 2, 3).reshape(3, 6, 13, 10) / 255
    for _ in range(3):
        x = F.pad(convolved(x), (1, 1, 1, 1), value=-torch.inf)
        x = x.unfold(2, 3, 2).unfold(3, 3, 2).amax(dim=(4, 5))
        for _ in range(2):
            x = x + convolved(convolved(x.clamp(min=0)).clamp(min=0))
    linear = torso.hidden[0]
    wanted = F.linear(x.clamp(min=0).flatten(1), linear.weight, linear.bias).clamp(min=0)
    torch.testing.assert_close(torso(frames), wanted, atol=1e-5, rtol=1e-5)
    assert not weights and wanted.shape == (3, torso.num_features)


def test_btr_doubles_channels_divides_by_norms_and_pools() -> None:
    """12 of its 15 convolutions are divided; 6x6 pixels are left, whatever the frame."""
    count, inputs = 0, 4
    for channels in (32, 64, 64):
        count += (9 * inputs + 1) * channels + 4 * (9 * channels + 1) * channels
        inputs = channels
    count += (6 * 6 * 64 + 1) * 512
    torso = build_torso("impala_btr", ATARI)
    assert sum(parameter.numel() for parameter in torso.parameters()) == count
    assert sum(isinstance(module, SpectralConv2d) for module in torso.modules()) == 12
    assert sum(isinstance(module, nn.Conv2d) for module in torso.modules()) == 15
    assert torso.drop_hidden() == 2_304


def test_spectral_norms_are_torchs_and_stand_still_without_gradients() -> None:
    torch.manual_seed(0)
    ours, plain = SpectralConv2d(4, 6, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
    plain.load_state_dict({"weight": ours.weight.detach(), "bias": ours.bias.detach()})  # type: ignore[union-attr]
    theirs = nn.utils.parametrizations.spectral_norm(plain)
    power: Any = theirs.parametrizations.weight[0]  # type: ignore[union-attr, index]
    power._u.copy_(ours.left)
    power._v.copy_(ours.right)
    x = torch.randn(2, 4, 5, 5)
    for _ in range(2):
        with torch.no_grad():
            ours(x)  # theirs would iterate
        outputs = [layer(x) for layer in (ours, theirs)]
        torch.testing.assert_close(*outputs)
        for layer, output in zip((ours, theirs), outputs, strict=True):
            layer.zero_grad()
            output.square().sum().backward()
        torch.testing.assert_close(
            ours.weight.grad,
            theirs.parametrizations.weight.original.grad,  # type: ignore[union-attr]
        )
    norm = torch.linalg.matrix_norm(ours.weight.detach().flatten(1), ord=2)
    kernel = ours(torch.eye(4).reshape(4, 4, 1, 1)).detach()  # each input's weights in the middle
    middle = (kernel[:, :, 0, 0] - ours.bias.detach()).T  # type: ignore[union-attr]
    torch.testing.assert_close(
        middle, ours.weight.detach()[:, :, 1, 1] / norm, rtol=1e-3, atol=1e-4
    )


def test_averaged_weights_are_divided_by_their_own_norms() -> None:
    """Far along: what is left of the first weights is 0.99^300, 5%; of the vectors' length it was
    less than that, as averages of vectors that turn are short."""
    torch.manual_seed(0)
    online = nn.Sequential(SpectralConv2d(4, 6, 3, padding=1), nn.Conv2d(6, 2, 1))
    averaged = FrozenCopy(online)
    slow = [parameter.detach().clone() for parameter in averaged.network.parameters()]
    for _ in range(300):
        online(torch.ones(1, 4, 3, 3))
        with torch.no_grad():
            for parameter, average in zip(online.parameters(), slow, strict=True):
                parameter.mul_(0.95).add_(0.05 * torch.randn_like(parameter))
                average.mul_(0.99).add_(0.01 * parameter)
        averaged.average(0.99)
    torch.testing.assert_close(list(averaged.network.parameters()), slow)
    for layer in (online[0], averaged.network[0]):
        matrix = layer.weight.detach().flatten(1)
        for vector in (layer.left, layer.right):
            torch.testing.assert_close(vector.norm(), torch.tensor(1.0))
        estimate = layer.left @ (matrix @ layer.right)
        assert 0.9 < estimate / torch.linalg.matrix_norm(matrix, ord=2) < 1.0001
    averaged.refresh()
    torch.testing.assert_close(averaged.state_dict(), dict(online.state_dict()), rtol=0, atol=0)


def test_layouts_of_memory_agree() -> None:
    torso = build_torso("impala", ATARI)
    frames = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    expected = torso(frames)
    torso.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(torso(frames), expected, atol=1e-5, rtol=1e-5)


def test_vectors_and_tiny_images_are_refused() -> None:
    for name in ("impala", "impala_btr"):
        with pytest.raises(UserError, match=f"network {name} needs images"):
            build_torso(name, ObservationSpec((4,), "float32"))
    with pytest.raises(UserError, match="5x5 or more"):
        build_torso("impala", ObservationSpec((4, 9), "uint8"))
