"""Reformer against transformers and full attention, and what reversible blocks keep."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from networks.blocks.chunked_attention import HashedAttention, hash_factors
from networks.language.generate import generate
from networks.language.reformer import Reformer, ReformerConfig, build, rename
from networks.weights import load_official
from tests.networks.reference import torchvision_models

SMALL = ReformerConfig(
    vocabulary=11, context_length=64, width=16, layers=3, heads=2, head_width=6, inner=20,
    attention=("lsh", "local"), chunk_length=4, hashes=3, feed_forward_chunk=5, dropout=0.0,
)  # fmt: skip
TOKENS = torch.randint(11, (2, 40), generator=torch.Generator().manual_seed(3))


def stir(module: nn.Module, seed: int = 0) -> Any:
    """In float64 and evaluation, with weights that make a difference, the same each time."""
    module.double().eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def model(config: ReformerConfig = SMALL) -> Reformer:
    """Ours."""
    network = stir(build(config))
    assert isinstance(network, Reformer)
    return network


@pytest.mark.parametrize("length", [4, 16, 21, 40])  # one chunk; whole chunks; padded; two hashes
def test_logits_are_those_of_transformers(length: int) -> None:
    torchvision_models()  # which transformers imports
    from transformers import ReformerConfig as Config
    from transformers import ReformerModelWithLMHead

    sizes = {
        "vocab_size": 11, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
        "attention_head_size": 6, "feed_forward_size": 20, "attn_layers": ["lsh", "local", "lsh"],
        "lsh_attn_chunk_length": 4, "local_attn_chunk_length": 4, "num_hashes": 3, "hash_seed": 0,
        "axial_pos_shape": (8, 8), "axial_pos_embds_dim": (4, 12), "max_position_embeddings": 64,
        "is_decoder": True, "use_cache": False,
    }  # fmt: skip
    theirs = stir(ReformerModelWithLMHead(Config(**sizes)), seed=1)
    with torch.no_grad():
        theirs.lm_head.decoder.bias.copy_(theirs.lm_head.bias)
    ours = model()
    load_official(ours, theirs.state_dict(), rename)
    logits, _ = ours(TOKENS[:, :length])
    expected = theirs(TOKENS[:, :length]).logits
    assert (logits[0] - logits[1]).abs().max() > 0.1
    torch.testing.assert_close(logits, expected, atol=1e-9, rtol=1e-9)


def shared_attention(look: HashedAttention, x: Tensor) -> Tensor:
    """Full attention with queries for keys, one query, key and head at a time: section 2."""
    heads, d = look.sizes.heads, look.sizes.head_width
    texts = []
    for text in x:
        rows = []
        for i in range(len(text)):
            found = []
            for h in range(heads):
                part = slice(h * d, (h + 1) * d)
                vectors = text @ look.query_key.weight[part].T
                values = text @ look.value.weight[part].T
                others = list(range(i)) or [0]  # itself only where there is no other
                keys = vectors[others] / vectors[others].square().mean(1, keepdim=True).sqrt()
                weights = (keys @ vectors[i] / math.sqrt(d)).softmax(0)
                found.append(weights @ values[others])
            rows.append(torch.cat(found))
        texts.append(torch.stack(rows))
    return torch.stack(texts)


def test_one_chunk_is_full_attention_with_queries_for_keys() -> None:
    x = torch.randn(2, 12, 16, generator=torch.Generator().manual_seed(0)).double()
    whole = stir(HashedAttention(replace(SMALL, chunk_length=12)))
    expected = shared_attention(whole, x)
    torch.testing.assert_close(whole(x, whole.sort(x)), expected, atol=1e-5, rtol=1e-5)
    # One bucket leaves the positions in their order: two chunks then see each other.
    halves = HashedAttention(replace(SMALL, chunk_length=6)).double()
    halves.load_state_dict(whole.state_dict())
    one_bucket = torch.zeros(2, 2, 3, 12, dtype=torch.int32)
    torch.testing.assert_close(halves(x, one_bucket), expected, atol=1e-5, rtol=1e-5)
    hashed = halves.sort(x)
    assert hashed is not None and hashed.unique().numel() > 1
    assert (halves(x, hashed) - expected).abs().max() > 1e-2, "hashing must leave something out"


def test_what_points_the_same_way_shares_a_bucket() -> None:
    look = stir(HashedAttention(replace(SMALL, hashes=1, chunk_length=8, buckets=4)))
    x = torch.randn(1, 64, 16, generator=torch.Generator().manual_seed(1)).double()
    x[:, 32:] = 3 * x[:, :32]  # the same directions
    buckets = look.sort(x)
    assert torch.equal(buckets[..., 32:], buckets[..., :32])
    assert buckets.unique().tolist() == [0, 1, 2, 3]
    opposite = look.sort(-x)
    assert torch.equal(opposite % 2, buckets % 2) and bool((opposite != buckets).all())
    assert [math.prod(hash_factors(n, 64, 0)) for n in (128, 4096, 100_000)] == [4, 128, 2048]
    assert hash_factors(100_000, 64, 0) == (32, 64), "rotations must not grow with the length"


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_reversible_gradients_are_the_ordinary_ones(dropout: float) -> None:
    network = model(replace(SMALL, dropout=dropout)).train()
    network.embedding.weight.requires_grad_(False)
    learned = [p for p in network.parameters() if p.requires_grad]

    def results(reversible: bool) -> list[Tensor]:
        torch.manual_seed(7)
        if reversible:
            return [*torch.autograd.grad(network(TOKENS)[0].square().sum(), learned)]
        return [*torch.autograd.grad(ordinary(network).square().sum(), learned)]

    for ours, expected in zip(results(True), results(False), strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(ours, expected)


def ordinary(network: Reformer) -> Tensor:
    """Logits by automatic differentiation of all that is computed."""
    x = network.dropout(network.embedding(TOKENS) + network.positions(TOKENS.shape[1]))
    x1, x2 = x, x
    for block in network.blocks:
        assert isinstance(block.attention, nn.Module) and isinstance(block.feed_forward, nn.Module)
        prepared = block.prepare(x2)  # type: ignore[operator]
        seeds = torch.randint(2**62, (2,)).tolist()
        state = torch.get_rng_state()
        torch.manual_seed(seeds[0])
        x1 = x1 + block.attention(x2, prepared)
        torch.manual_seed(seeds[1])
        x2 = x2 + block.feed_forward(x1)
        torch.set_rng_state(state)
    logits: Tensor = network.output(network.dropout(network.norm(torch.cat((x1, x2), dim=-1))))
    return logits


def test_what_is_kept_does_not_grow_with_the_layers() -> None:
    def kept(layers: int, reversible: bool) -> int:
        """Numbers that wait for the way back, weights and buckets apart."""
        network = model(replace(SMALL, layers=layers)).train()
        weights = {parameter.data_ptr() for parameter in network.parameters()}
        seen = dict[int, int]()

        def note(tensor: Tensor) -> Tensor:
            if tensor.is_floating_point() and tensor.data_ptr() not in weights:
                seen[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            logits = network(TOKENS)[0] if reversible else ordinary(network)
            logits.sum()
        return sum(seen.values())

    assert kept(2, True) == kept(8, True)
    assert kept(8, False) > 3 * kept(2, False) > 6 * kept(2, True)


def test_autocast_is_the_same_on_the_way_back() -> None:
    network = build(replace(SMALL, attention=("local",)))
    learned = list(network.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        assert isinstance(network, Reformer)
        ours = torch.autograd.grad(network(TOKENS)[0].float().square().sum(), learned)
        expected = torch.autograd.grad(ordinary(network).float().square().sum(), learned)
    for one, other in zip(ours, expected, strict=True):
        assert (one - other).norm() <= 0.02 * other.norm()


def test_later_tokens_are_never_looked_at() -> None:
    network = model(replace(SMALL, chunk_length=40))
    changed = TOKENS.clone()
    changed[:, 25:] = (changed[:, 25:] + 1) % 11
    before, after = network(TOKENS)[0], network(changed)[0]
    torch.testing.assert_close(before[:, :25], after[:, :25])
    assert (before[:, 25:] - after[:, 25:]).abs().max() > 1e-3
    # In chunks a later token may move earlier ones to other chunks, but is not looked at.
    look = stir(HashedAttention(SMALL))
    x = torch.randn(1, 40, 16, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(look(x, look.sort(x))[0, 17].sum(), x)
    assert gradient[0, :18].abs().sum() > 0 and not gradient[0, 18:].any()


def test_texts_are_written_and_long_ones_refused() -> None:
    network = model()
    assert generate(network, TOKENS, 30).shape == (2, 70)
    with pytest.raises(UserError, match="65 tokens is too long for 64 positions"):
        network(torch.zeros(1, 65, dtype=torch.int64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": ("lhs",)}, "no attention 'lhs'; did you mean 'lsh'"),
        ({"buckets": 3}, "buckets must be an even number, or 0, got 3"),
        ({"buckets": 200, "chunk_length": 64}, "power of two, got 200"),
        ({"width": 18}, "a width divisible by 4, got 18"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(replace(SMALL, **changes))
