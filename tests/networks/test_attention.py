"""Attention against torch's, and positions against their closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from networks.blocks.attention import (
    MultiHeadAttention,
    attend,
    attention_weights,
    causal_mask,
    merge_heads,
    split_heads,
)
from networks.blocks.positions import LearnedPositions, Sinusoid, position_vectors

B, HEADS, T, S, D = 2, 3, 4, 5, 12


def masks() -> dict[str, Tensor | None]:
    """One of each kind that networks use: none, padding, causal, arbitrary for each head."""
    padding = torch.tensor([[True] * S, [True] * 3 + [False] * 2])
    anything = torch.rand(B, HEADS, T, S) < 0.5
    anything[..., 0] = True
    return {
        "none": None,
        "padding": padding[:, None, None, :],
        "causal": causal_mask(T, S - T),
        "anything": anything,
    }


@pytest.mark.parametrize("kind", ["none", "padding", "causal", "anything"])
def test_attention_is_the_mean_of_values_by_its_weights(kind: str) -> None:
    torch.manual_seed(0)
    mask = masks()[kind]
    query = torch.randn(B, HEADS, T, 4, dtype=torch.float64)
    key = torch.randn(B, HEADS, S, 4, dtype=torch.float64)
    value = torch.randn(B, HEADS, S, 6, dtype=torch.float64)
    weights = attention_weights(query, key, mask)
    torch.testing.assert_close(attend(query, key, value, mask), weights @ value)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, HEADS, T, dtype=torch.float64))
    if mask is not None:
        assert (weights[~mask.expand_as(weights)] == 0).all()
    by_hand = [
        math.exp(sum(q * k for q, k in zip(query[0, 1, 2].tolist(), key_s, strict=True)) / 2.0)
        for key_s in key[0, 1].tolist()
    ]
    if mask is not None:
        allowed = mask.expand_as(weights)[0, 1, 2].tolist()
        by_hand = [e * a for e, a in zip(by_hand, allowed, strict=True)]
    expected = torch.tensor(by_hand, dtype=torch.float64) / sum(by_hand)
    torch.testing.assert_close(weights[0, 1, 2], expected)


def test_dropout_falls_on_the_weights() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(1, 1, 3, 4), torch.randn(1, 1, 50, 4)
    dropped = attend(query, key, torch.eye(50)[None, None], None, 0.5)  # values show the weights
    weights = attention_weights(query, key)
    kept = dropped != 0
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(dropped[kept], 2.0 * weights[kept])


def test_causal_mask_counts_the_past() -> None:
    assert causal_mask(2, 3).tolist() == [
        [True, True, True, True, False],
        [True, True, True, True, True],
    ]


def test_heads_are_split_and_merged_in_order() -> None:
    features = torch.arange(B * T * D).view(B, T, D)
    split = split_heads(features, HEADS)
    assert split.shape == (B, HEADS, T, D // HEADS)
    assert split[1, 2, 3].tolist() == features[1, 3, 8:].tolist()
    assert torch.equal(merge_heads(split), features)


def packed(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    """Copy torch's packed projections into ours."""
    with torch.no_grad():
        parts = zip(
            (ours.query, ours.key, ours.value),
            theirs.in_proj_weight.chunk(3),
            theirs.in_proj_bias.chunk(3),
            strict=True,
        )
        for layer, weight, bias in parts:
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        ours.output.load_state_dict(theirs.out_proj.state_dict())


def test_multi_head_attention_matches_torch() -> None:
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(D, HEADS, batch_first=True).double()
    nn.init.normal_(theirs.in_proj_bias)
    ours = MultiHeadAttention(D, HEADS).double()
    packed(ours, theirs)
    queries = torch.randn(B, T, D, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(B, S, D, dtype=torch.float64, requires_grad=True)
    padding = torch.tensor([[True] * S, [True] * 3 + [False] * 2])
    expected, expected_weights = theirs(
        queries, memory, memory, key_padding_mask=~padding, average_attn_weights=False
    )
    mask = padding[:, None, None, :]
    got = ours(queries, ours.remember(memory), mask)
    torch.testing.assert_close(got, expected)
    weights = ours.weights(queries, ours.remember(memory), mask)
    torch.testing.assert_close(weights, expected_weights)
    grads = torch.autograd.grad(got.square().sum(), (queries, memory, ours.output.weight))
    wanted = torch.autograd.grad(expected.square().sum(), (queries, memory, theirs.out_proj.weight))
    torch.testing.assert_close(grads, wanted)


def test_heads_that_cannot_share_the_features_are_refused() -> None:
    with pytest.raises(UserError, match="5 attention heads cannot share 12 features"):
        MultiHeadAttention(D, 5)
    with pytest.raises(UserError, match="0 attention heads"):
        MultiHeadAttention(D, 0)


def test_sinusoid_closed_form() -> None:
    tokens = torch.zeros(2, 40, dtype=torch.int64)
    got = Sinusoid(6)(tokens, past=3)
    expected = [
        [f(t / 10_000 ** (2 * i / 6)) for i in range(3) for f in (math.sin, math.cos)]
        for t in range(3, 43)
    ]
    torch.testing.assert_close(got, torch.tensor(expected), atol=1e-5, rtol=0)


def test_learned_positions_are_rows_up_to_the_longest() -> None:
    learned = LearnedPositions(8, 10)
    assert torch.equal(learned(torch.zeros(1, 4), past=6), learned.weight[6:])
    embedding = F.embedding(torch.arange(10), learned.weight)
    assert torch.equal(learned(torch.zeros(1, 10)), embedding)
    with pytest.raises(UserError, match="11 tokens is too long for 10 learned"):
        learned(torch.zeros(1, 4), past=7)


def test_positions_by_name() -> None:
    assert isinstance(position_vectors("learned", 8, 4), LearnedPositions)
    with pytest.raises(UserError, match="did you mean 'sinusoid'"):
        position_vectors("sinusoids", 8, 4)
    with pytest.raises(UserError, match="even width, got 7"):
        position_vectors("sinusoid", 7, 4)
