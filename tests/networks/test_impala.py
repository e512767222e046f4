"""IMPALA's residual network: the published layers, and its pooling and sums in slow form."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.errors import UserError
from core.lanes import ObservationSpec
from networks.control.impala import ImpalaCNN
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


def test_layouts_of_memory_agree() -> None:
    torso = build_torso("impala", ATARI)
    frames = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    expected = torso(frames)
    torso.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(torso(frames), expected, atol=1e-5, rtol=1e-5)


def test_vectors_and_tiny_images_are_refused() -> None:
    with pytest.raises(UserError, match="network impala needs images"):
        build_torso("impala", ObservationSpec((4,), "float32"))
    with pytest.raises(UserError, match="5x5 or more"):
        build_torso("impala", ObservationSpec((4, 9), "uint8"))
