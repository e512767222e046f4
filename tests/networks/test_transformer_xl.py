"""Transformer-XL against the paper's equations, and what a memory must do."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import types
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from networks.language.generate import generate
from networks.language.transformer_xl import (
    PRESETS,
    TransformerXL,
    TransformerXLConfig,
    build,
    distance_vectors,
    rename,
    shift,
)
from networks.weights import load_official

SMALL = TransformerXLConfig(
    vocabulary=11, width=8, layers=3, heads=2, head_width=3, inner=10, memory_length=99, dropout=0.0
)
TOKENS = torch.tensor([[1, 5, 3, 9, 2, 2, 7], [0, 0, 10, 2, 4, 6, 1]])


def model(config: TransformerXLConfig = SMALL) -> TransformerXL:
    """A model in float64 with weights that make a difference, the same each time."""
    torch.manual_seed(0)
    network = build(config).double().eval()
    assert isinstance(network, TransformerXL)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.4)
    return network


def norm(x: Tensor, layer: torch.nn.Module) -> Tensor:
    """Layer normalisation by its formula."""
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * layer.weight + layer.bias


def from_the_paper(network: TransformerXL, tokens: Tensor, past: Tensor) -> Tensor:
    """Logits [T, V] of one text after `past`, which was read in an earlier segment: section 3.3,
    one query, one key and one head at a time."""
    config = network.config
    heads, d, width = config.heads, config.head_width, config.width

    def sinusoid(distance: int) -> Tensor:
        angles = [distance / 10_000 ** (2 * i / width) for i in range(width // 2)]
        return torch.tensor([*map(math.sin, angles), *map(math.cos, angles)], dtype=torch.float64)

    texts = [past, tokens] if len(past) else [tokens]
    kept: list[list[Tensor]] = [[] for _ in network.blocks]
    for text in texts:
        x = [network.embedding.weight[token] * width**0.5 for token in text.tolist()]
        for n, block in enumerate(network.blocks):
            attention = block.attention
            q_w, k_w, v_w = attention.projection.weight.reshape(3, heads, d, width)
            r_w = attention.distance.weight.reshape(heads, d, width)
            seen = [*kept[n], *x]
            before = len(kept[n])
            kept[n] = seen
            new = []
            for i, own in enumerate(x):
                found = []
                for h in range(heads):
                    query = q_w[h] @ own
                    scores = []
                    for j in range(before + i + 1):
                        key, far = k_w[h] @ seen[j], r_w[h] @ sinusoid(before + i - j)
                        scores.append(
                            query @ key + query @ far + attention.content_bias[h] @ key
                            + attention.distance_bias[h] @ far
                        )  # fmt: skip
                    weights = (torch.stack(scores) / d**0.5).softmax(0)
                    found.append(sum(w * (v_w[h] @ s) for w, s in zip(weights, seen, strict=False)))
                y = norm(own + attention.output.weight @ torch.cat(found), block.norm1)
                first, _, _, last = block.feed_forward
                inner = (first.weight @ y + first.bias).clamp(min=0)
                new.append(norm(y + last.weight @ inner + last.bias, block.norm2))
            x = new
    return torch.stack([network.embedding.weight @ each + network.bias for each in x])


@pytest.mark.parametrize("past", [0, 3])
def test_logits_follow_the_papers_equations(past: int) -> None:
    network = model()
    state = network(TOKENS[:, :past])[1] if past else None
    logits, _ = network(TOKENS[:, past:], state)
    for n, text in enumerate(TOKENS):
        expected = from_the_paper(network, text[past:], text[:past])
        torch.testing.assert_close(logits[n], expected)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_segments_with_enough_memory_are_the_text_at_once(length: int) -> None:
    network = model()
    whole, last = network(TOKENS)
    state, pieces = None, []
    for segment in TOKENS.split(length, dim=1):
        logits, state = network(segment, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
    torch.testing.assert_close(state, last)


def test_a_short_memory_forgets_and_none_is_no_memory() -> None:
    forgetful, blank = (model(replace(SMALL, memory_length=n)) for n in (2, 0))
    for network, kept in ((forgetful, 2), (blank, 0)):
        _, state = network(TOKENS[:, :5])
        assert [part.shape[1] for part in state] == [kept] * 3
    first = network(TOKENS[:, :5])[1]
    torch.testing.assert_close(blank(TOKENS[:, 5:], first)[0], blank(TOKENS[:, 5:])[0])
    changed = TOKENS.clone()
    changed[:, 4] = 8
    other = forgetful(changed[:, :5])[1]
    same = forgetful(TOKENS[:, :5])[1]
    difference = forgetful(TOKENS[:, 5:], other)[0] - forgetful(TOKENS[:, 5:], same)[0]
    assert difference.abs().max() > 1e-3, "the memory must be looked at"


def test_nothing_flows_back_through_the_memory_and_nothing_is_seen_ahead() -> None:
    network = model()
    _, state = network(TOKENS[:, :3])
    assert not any(part.requires_grad for part in state)
    changed = TOKENS.clone()
    changed[:, 5:] = 3
    before, after = network(TOKENS)[0], network(changed)[0]
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().max() > 1e-3


def test_every_weight_learns() -> None:
    network = model(replace(SMALL, cutoffs=(3, 6)))
    loss = network(TOKENS)[0].square().sum()
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_columns_by_distance_become_columns_by_key() -> None:
    distances = torch.arange(4, -1, -1).expand(1, 1, 3, 5)  # of 3 queries after 2 kept tokens
    shifted = shift(distances.float())[0, 0]
    for i in range(3):
        assert shifted[i, : 2 + i + 1].tolist() == [2 + i - j for j in range(2 + i + 1)]
    vectors = distance_vectors(5, 6)
    torch.testing.assert_close(vectors[-1], torch.tensor([0.0, 0, 0, 1, 1, 1]))
    torch.testing.assert_close(vectors[1, 0], torch.tensor(3.0).sin())


def test_groups_of_tokens_share_one_probability() -> None:
    config = replace(SMALL, cutoffs=(3, 6, 50))
    network = model(config)
    assert network.cutoffs == [3, 6], "groups that this vocabulary does not reach are left out"
    logits = network(TOKENS)[0]
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(2, 7, dtype=torch.float64))
    plain = model(replace(SMALL))
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if "groups" not in k})
    scores = plain(TOKENS)[0]
    # Within a group, tokens compare as they would without groups.
    for first, last in ((0, 3), (3, 6), (6, 11)):
        torch.testing.assert_close(
            logits[..., first:last].log_softmax(-1), scores[..., first:last].log_softmax(-1)
        )


def test_a_text_is_written_with_a_memory_as_without() -> None:
    network = model()
    with_memory = generate(network, TOKENS, 6)
    without = generate(network, TOKENS, 6, keep_state=False)
    assert torch.equal(with_memory, without) and with_memory.shape == (2, 13)


def test_parameters_are_those_of_the_closed_form() -> None:
    for config in PRESETS.values():
        attention = config.heads * config.head_width
        layer = 5 * config.width * attention + 2 * attention + 4 * config.width
        layer += 2 * config.width * config.inner + config.inner + config.width
        groups = len(config.cutoffs or ()) * (config.width + 1)
        expected = config.vocabulary * (config.width + 1) + config.layers * layer + groups
        with torch.device("meta"):
            network = build(config)
        assert sum(parameter.numel() for parameter in network.parameters()) == expected


def pytorch_transformers_xl(cutoffs: tuple[int, ...] | None) -> torch.nn.Module:
    """The port of 2019, in float64 with random weights. Its package imports what only downloads
    need, so the module is loaded without it."""
    found = importlib.util.find_spec("pytorch_transformers")
    if found is None or not found.submodule_search_locations:
        pytest.skip("pytorch-transformers is not installed")
    names = ("pytorch_transformers", "boto3", "botocore", "botocore.config",
             "botocore.exceptions", "six", "requests")  # fmt: skip
    before = {name: sys.modules.get(name) for name in names}
    try:
        for name in names:
            sys.modules[name] = types.ModuleType(name)
        sys.modules["pytorch_transformers"].__path__ = list(found.submodule_search_locations)
        sys.modules["six"].PY2 = False  # type: ignore[attr-defined]
        sys.modules["botocore.config"].Config = object  # type: ignore[attr-defined]
        sys.modules["botocore.exceptions"].ClientError = OSError  # type: ignore[attr-defined]
        library = importlib.import_module("pytorch_transformers.modeling_transfo_xl")
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    config = library.TransfoXLConfig(
        vocab_size_or_config_json_file=SMALL.vocabulary, cutoffs=list(cutoffs or ()),
        d_model=SMALL.width, d_embed=SMALL.width, n_head=SMALL.heads, d_head=SMALL.head_width,
        d_inner=SMALL.inner, div_val=1, n_layer=SMALL.layers, tgt_len=4, ext_len=0, mem_len=3,
        clamp_len=-1, same_length=False, sample_softmax=-1, untie_r=True, dropout=0.0,
        dropatt=0.0, adaptive=True, tie_weight=True,
    )  # fmt: skip
    network: torch.nn.Module = library.TransfoXLLMHeadModel(config).double().eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.4)
    return network


@pytest.mark.parametrize("cutoffs", [None, (4, 7)])
def test_logits_are_those_of_pytorch_transformers(cutoffs: tuple[int, ...] | None) -> None:
    theirs = pytorch_transformers_xl(cutoffs)
    ours = model(replace(SMALL, cutoffs=cutoffs, memory_length=3))
    weights = {name: value.double() for name, value in theirs.state_dict().items()}
    load_official(ours, weights, rename)
    _, state = ours(TOKENS[:, :3])
    logits, _ = ours(TOKENS[:, 3:], state)
    # Theirs begins with a memory of zeros, so it is given ours.
    expected = theirs(TOKENS[:, 3:], mems=[part.transpose(0, 1) for part in state])[0]
    assert (logits[0] - logits[1]).abs().max() > 0.1
    torch.testing.assert_close(logits.log_softmax(-1), expected.reshape(logits.shape))
