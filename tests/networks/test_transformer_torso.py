"""The Transformer torso: torch's layers with the same weights, tokens, positions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from core.lanes import ObservationSpec
from networks.control.transformer_torso import (
    EncoderBlock,
    TransformerTorso,
    TransformerTrunk,
    patch_side,
    positions,
)
from networks.registry import build_torso


def test_a_block_equals_torchs_layer() -> None:
    torch.manual_seed(0)
    ours = EncoderBlock(16).double()
    theirs = nn.TransformerEncoderLayer(
        16, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    attention, parts = (
        ours.attention,
        (ours.attention.query, ours.attention.key, ours.attention.value),
    )
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat([part.weight for part in parts]),
            "self_attn.in_proj_bias": torch.cat([part.bias for part in parts]),
            "self_attn.out_proj.weight": attention.output.weight,
            "self_attn.out_proj.bias": attention.output.bias,
            "linear1.weight": ours.mlp[0].weight,
            "linear1.bias": ours.mlp[0].bias,
            "linear2.weight": ours.mlp[2].weight,
            "linear2.bias": ours.mlp[2].bias,
            "norm1.weight": ours.norm1.weight,
            "norm1.bias": ours.norm1.bias,
            "norm2.weight": ours.norm2.weight,
            "norm2.bias": ours.norm2.bias,
        }
    )
    outputs, gradients = [], []
    start = torch.randn(2, 7, 16, dtype=torch.float64)
    for block in (ours, theirs):
        x = start.clone().requires_grad_()
        y = block(x)
        y.square().sum().backward()
        outputs.append(y)
        gradients.append(x.grad)
    torch.testing.assert_close(*outputs, atol=1e-12, rtol=0)
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=0)


def test_positions_equal_the_papers_sinusoids() -> None:
    found = positions(16, 3, 5)
    assert found.shape == (16, 3, 5)
    for row in range(3):
        for column in range(5):
            for pair in range(4):
                rate = 10_000 ** (-2 * pair / 8)  # half of the 16 features tell the row
                wanted = [math.sin(row * rate), math.cos(row * rate),
                          math.sin(column * rate), math.cos(column * rate)]  # fmt: skip
                assert found[pair::4, row, column].tolist() == pytest.approx(wanted, abs=1e-6)
    places = positions(8, 4, 6).flatten(1).T
    assert torch.cdist(places, places).fill_diagonal_(1).min() > 0.1  # no two alike
    assert positions(6, 2, 2).shape == (6, 2, 2)  # any width


def test_patches_are_the_tokens() -> None:
    """Without positions, exchanging patches exchanges the maps' places and nothing else."""
    torch.manual_seed(0)
    trunk = TransformerTrunk(2, 8, 1, patch=3)
    images = torch.randn(1, 2, 6, 6)
    exchanged = torch.cat([images[:, :, 3:], images[:, :, :3]], dim=2)
    one, other = trunk(images), trunk(exchanged)
    assert one.shape == (1, 8, 2, 2)
    assert not torch.allclose(one.flip(2), other, atol=1e-3)  # positions tell them apart
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "networks.control.transformer_torso.positions",
            lambda *arguments: torch.zeros(arguments[:3]),
        )
        one, other = trunk(images), trunk(exchanged)
    torch.testing.assert_close(one.flip(2), other)


@pytest.mark.parametrize(
    ("size", "side"), [((84, 84), 9), ((210, 160), 20), ((10, 10), 1), ((4, 9), 1), ((64, 64), 7)]
)
def test_images_become_at_most_a_hundred_tokens(size: tuple[int, int], side: int) -> None:
    assert patch_side(*size) == side
    torso = build_torso("transformer", ObservationSpec(size, "uint8", 2))
    frames = torch.randint(0, 256, (2, 2, *size), dtype=torch.uint8)
    assert torso(frames).shape == (2, torso.num_features)
    # The last pixel is in a patch too.
    changed = frames.clone()
    changed[:, :, -1, -1] = 255 - changed[:, :, -1, -1]
    assert not torch.equal(torso(frames), torso(changed))


@pytest.mark.parametrize(
    "spec",
    [
        ObservationSpec((8,), "float32"),
        ObservationSpec((1,), "int64"),
        ObservationSpec((128,), "uint8"),
        ObservationSpec((3,), "float32", 2),
        ObservationSpec((9, 7, 3), "uint8", 4),
    ],
)
def test_any_observation_will_do(spec: ObservationSpec) -> None:
    torso = TransformerTorso(spec)
    observation = torch.randint(0, 4, (3, *spec.stacked_shape)).to(getattr(torch, spec.dtype))
    features = torso(observation)
    assert features.shape == (3, 64) and features.dtype == torch.float32
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in torso.parameters())


def test_each_feature_of_a_vector_is_a_token() -> None:
    torch.manual_seed(0)
    torso = TransformerTorso(ObservationSpec((5,), "float32"))
    seen: list[torch.Size] = []
    torso.trunk.blocks.register_forward_hook(lambda _, args, __: seen.append(args[0].shape))
    vector = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    assert not torch.allclose(torso(vector), torso(vector.flip(1)), atol=1e-4)
    assert seen[0] == (1, 5, 64)
    bytes_torso = TransformerTorso(ObservationSpec((5,), "uint8"))
    bytes_torso.load_state_dict(torso.state_dict())
    scaled = torso(vector / 255)
    torch.testing.assert_close(bytes_torso(vector.to(torch.uint8)), scaled)
