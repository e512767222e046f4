"""The published networks: sizes, shapes, layouts, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agents.dqn.network import QNetwork, Returns
from agents.dqn.noisy import Stream
from agents.reinforce.network import PolicyAndBaseline
from core.errors import UserError
from core.lanes import FrameStack, ObservationSpec, first_step
from networks.registry import TORSOS, automatic_torso, build_torso, hidden_sizes
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


def test_compact_sees_half_frames_as_dqn2013_sees_whole_ones() -> None:
    """As many maps of the same sizes, and a convolution of a quarter of the weights."""
    half = build_torso("compact", ObservationSpec((42, 42), "uint8", 4))
    whole = build_torso("dqn2013", ATARI)
    sizes = [[tuple(p.shape) for p in torso.parameters()] for torso in (half, whole)]
    assert sizes[0][0] == (16, 4, 4, 4) and sizes[1][0] == (16, 4, 8, 8)
    assert sizes[0][1:] == sizes[1][1:]


@pytest.mark.parametrize(
    "options",
    [
        {"dueling": False},
        {"dueling": True},
        {"dueling": True, "sigma": 0.5, "returns": Returns("c51", 7, -2.0, 2.0)},
        {"dueling": False, "returns": Returns("iqn", 8)},
    ],
)
def test_values_of_actions_are_not_rounded_to_bf16(options: dict[str, Any]) -> None:
    """Near 100 bf16 knows 99.5 and 100 and nothing between: actions would all look alike."""
    torch.manual_seed(0)
    network = QNetwork("small", ObservationSpec((8, 8), "uint8", 2), 6, **options)
    heads = [network.advantage, *([] if network.value is None else [network.value])]
    for head in heads:
        last = head[-1] if isinstance(head, Stream) else head
        assert isinstance(last.bias, nn.Parameter)
        last.bias.data += 100.0
    frames = torch.randint(0, 256, (5, 2, 8, 8), dtype=torch.uint8)
    expected = network(frames, whole=True)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(frames, whole=True)
    assert rounded.dtype == torch.float32
    # What is before the last layer is of size 1, and is rounded to three digits.
    torch.testing.assert_close(rounded, expected, rtol=0, atol=0.02)


def test_logits_and_values_of_policies_are_not_rounded_to_bf16() -> None:
    torch.manual_seed(0)
    network = PolicyAndBaseline("mlp", ObservationSpec((3,), "float32"), 4, separate_baseline=True)
    network.value_head.bias.data += 100.0
    network.policy_logits.bias.data += 100.0
    x = torch.randn(5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = (*network(x), network.policy(x), network.value(x))
    for rounded, expected in zip(
        found, (*network(x), network.policy(x), network.value(x)), strict=True
    ):
        torch.testing.assert_close(rounded, expected, rtol=0, atol=0.02)


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


@pytest.mark.parametrize("name", ["nature", "dqn2013", "compact", "small"])
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


def slow_dueling(network: Any, frames: torch.Tensor, action: int) -> Any:
    """Q of one action, neuron by neuron as in Wang et al. 2016, section 4.2 and equation 9."""
    features = network.torso.convolutions(frames / 255)
    streams = []
    for stream in (network.value, network.advantage):
        units = features
        for layer in (stream[0], stream[2]):
            rows = zip(layer.weight, layer.bias, strict=True)
            units = torch.stack([units @ row + bias for row, bias in rows], dim=1)
            units = torch.relu(units) if layer is stream[0] else units
        streams.append(units.unbind(dim=1))
    (value,), advantages = streams
    return value + advantages[action] - sum(advantages) / len(advantages)


def test_dueling_is_the_papers_network() -> None:
    torch.manual_seed(0)
    network: Any = QNetwork("small", ObservationSpec((8, 8), "uint8", 2), 5, dueling=True)
    frames = torch.randint(0, 256, (3, 2, 8, 8), dtype=torch.uint8)
    q = network(frames)
    for action in range(5):
        torch.testing.assert_close(q[:, action], slow_dueling(network, frames, action))
    # The value reaches Q through units of its own: two linear heads would compose to one.
    q.sum().backward()
    assert network.value[0].weight.grad.abs().sum() > 0
    fast = network.torso.convolutions[0].weight.grad.clone()
    network.zero_grad()
    torch.stack([slow_dueling(network, frames, a) for a in range(5)], 1).sum().backward()
    slow = network.torso.convolutions[0].weight.grad
    torch.testing.assert_close(fast, slow / 2**0.5)


def test_frames_are_scaled_to_bf16_as_autocast_would_round_them() -> None:
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    exact = scale_image(frames)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(scale_image(frames), exact.bfloat16())
    assert exact.dtype == torch.float32


@pytest.mark.parametrize("actions", [4, 18])
def test_dueling_has_the_papers_parameters(actions: int) -> None:
    """512 hidden units in each stream, on the convolutions."""
    network = QNetwork("nature", ATARI, actions, dueling=True)
    streams = 2 * (7 * 7 * 64 + 1) * 512 + 513 + 513 * actions
    convolutions = weights_and_biases("nature", 0) - (7 * 7 * 64 + 1) * 512
    assert sum(p.numel() for p in network.parameters()) == convolutions + streams


@pytest.mark.parametrize("torso", ["mlp", "transformer"])
def test_every_torso_can_carry_two_streams(torso: str) -> None:
    network = QNetwork(torso, ObservationSpec((7,), "float32"), 3, dueling=True)
    assert network(torch.zeros(2, 7)).shape == (2, 3)
    hidden = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == 128]
    assert len(hidden) == (3 if torso == "mlp" else 0)  # one shared, one in each stream


@pytest.mark.parametrize("name", [name for name, entry in TORSOS.items() if entry.sized])
@pytest.mark.parametrize("dueling", [False, True])
def test_hidden_layers_have_the_size_that_was_asked_for(name: str, dueling: bool) -> None:
    network = QNetwork(name, ATARI, 4, dueling=dueling, hidden=(96, 40))
    linear = [m.out_features for m in network.modules() if isinstance(m, nn.Linear)]
    assert linear == ([96, 40, 4, 40, 1] if dueling else [96, 40, 4])
    assert network(torch.zeros(2, 4, 84, 84, dtype=torch.uint8)).shape == (2, 4)


def test_hidden_sizes_are_read_or_refused_in_one_line() -> None:
    assert hidden_sizes("") == () and hidden_sizes("64") == (64,)
    assert hidden_sizes("256,128") == hidden_sizes("256 128") == (256, 128)
    for text in ("0", "-3", "64x64", "1.5", "99999999"):
        with pytest.raises(UserError, match="--hidden must be"):
            hidden_sizes(text)
    for name in ("transformer", "resnet18"):
        with pytest.raises(UserError, match=f"--hidden is not for network {name}"):
            build_torso(name, ATARI, (64,))


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("natur", ATARI, "did you mean 'nature'"),
        ("nature", ObservationSpec((4,), "float32"), r"vectors of shape \(4,\); use --network mlp"),
        ("dqn2013", ObservationSpec((35, 84), "uint8", 4), "36x36.*35x84; use --network small"),
        ("compact", ObservationSpec((19, 84), "uint8", 4), "20x20.*19x84; use --network small"),
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
    assert set(TORSOS) == {
        "nature",
        "dqn2013",
        "compact",
        "impala",
        "impala_btr",
        "transformer",
        "small",
        "mlp",
    }
