"""The published networks: sizes, shapes, layouts, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agents.dqn.network import QNetwork
from core.errors import UserError
from core.lanes import FrameStack, ObservationSpec, first_step
from networks.registry import TORSOS, automatic_torso, build_torso
from networks.torso import scale_image

ATARI = ObservationSpec((84, 84), "uint8", 4)


def weights_and_biases(torso: str, actions: int) -> int:
    """From the papers' words: filters x (channels x side^2) + filters, and so on."""
    if torso == "nature":  # 32 of 8x8 stride 4, 64 of 4x4 stride 2, 64 of 3x3 stride 1, 512 units
        convolutions = 32 * 4 * 64 + 32 + 64 * 32 * 16 + 64 + 64 * 64 * 9 + 64
        return convolutions + (7 * 7 * 64 + 1) * 512 + 513 * actions
    convolutions = 16 * 4 * 64 + 16 + 32 * 16 * 16 + 32  # 16 of 8x8 stride 4, 32 of 4x4 stride 2
    return convolutions + (9 * 9 * 32 + 1) * 256 + 257 * actions


@pytest.mark.parametrize("actions", [4, 18])
@pytest.mark.parametrize("torso", ["nature", "dqn2013"])
def test_published_parameter_counts(torso: str, actions: int) -> None:
    network = QNetwork(torso, ATARI, actions, dueling=False)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == weights_and_biases(torso, actions)
    if (torso, actions) == ("nature", 18):
        assert count == 1_693_362


@pytest.mark.parametrize(
    ("spec", "chosen"),
    [
        (ATARI, "nature"),
        (ObservationSpec((36, 40), "uint8", 1), "nature"),
        (ObservationSpec((210, 160, 3), "uint8", 4), "nature"),
        (ObservationSpec((35, 84), "uint8", 2), "small"),
        (ObservationSpec((5, 6, 3), "uint8", 4), "small"),
        (ObservationSpec((8,), "float32"), "mlp"),
        (ObservationSpec((1,), "int64"), "mlp"),
        (ObservationSpec((3,), "float32", 2), "mlp"),
    ],
)
def test_automatic_torso_takes_the_lanes_observation(spec: ObservationSpec, chosen: str) -> None:
    assert automatic_torso(spec) == chosen
    torso = build_torso("auto", spec)
    frames = FrameStack(spec, 3)
    observation = frames.push(first_step(np.ones((3, *spec.shape), dtype=spec.dtype)))
    features = torso(torch.as_tensor(observation))
    assert features.shape == (3, torso.num_features)
    assert features.dtype == torch.float32


@pytest.mark.parametrize("name", ["nature", "dqn2013", "small"])
def test_channels_last_gives_the_same_output(name: str) -> None:
    torch.manual_seed(0)
    spec = ObservationSpec((40, 36), "uint8", 4)
    torso = build_torso(name, spec)
    frames = torch.randint(0, 256, (5, 4, 40, 36), dtype=torch.uint8)
    expected = torso(frames)
    last = frames.to(memory_format=torch.channels_last)
    torso.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(torso(last), expected)
    torch.testing.assert_close(torso(frames), expected)


def test_colour_frames_become_channels_oldest_first() -> None:
    frames = torch.randint(0, 256, (2, 4, 6, 5, 3), dtype=torch.uint8)
    scaled = scale_image(frames)
    assert scaled.shape == (2, 12, 6, 5)
    for k in range(4):
        for colour in range(3):
            expected = frames[:, k, :, :, colour].float() / 255
            torch.testing.assert_close(scaled[:, 3 * k + colour], expected)


def test_dueling_heads_add_up() -> None:
    """Q = V + A - mean A: the mean over actions is V (Wang et al. 2016, equation 9)."""
    torch.manual_seed(0)
    network = QNetwork("small", ObservationSpec((8, 8), "uint8", 2), 5, dueling=True)
    frames = torch.randint(0, 256, (3, 2, 8, 8), dtype=torch.uint8)
    q = network(frames)
    assert q.shape == (3, 5)
    features = network.torso(frames)
    assert network.value is not None
    torch.testing.assert_close(q.mean(dim=1, keepdim=True), network.value(features))
    advantage = F.linear(features, network.advantage.weight, network.advantage.bias)
    torch.testing.assert_close(q - q[:, :1], advantage - advantage[:, :1])


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("natur", ATARI, "did you mean 'nature'"),
        ("nature", ObservationSpec((4,), "float32"), r"vectors of shape \(4,\); use --network mlp"),
        ("dqn2013", ObservationSpec((35, 84), "uint8", 4), "36x36.*35x84; use --network small"),
        ("small", ObservationSpec((4, 9), "uint8", 4), "5x5"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    name: str, spec: ObservationSpec, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_torso(name, spec)


def test_images_too_small_for_any_convolution_can_use_the_perceptron() -> None:
    spec = ObservationSpec((4, 9), "uint8", 2)
    with pytest.raises(UserError, match="--network mlp"):
        build_torso("auto", spec)
    torso = build_torso("mlp", spec)
    assert torso(torch.zeros(2, 2, 4, 9, dtype=torch.uint8)).shape == (2, 128)
    assert set(TORSOS) == {"nature", "dqn2013", "impala", "transformer", "small", "mlp"}
