"""GPT and GPT-2 against transformers, with the same weights."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from networks.blocks.attention import causal_mask
from networks.blocks.transformer_block import SelfAttention
from networks.language import gpt, gpt2
from networks.language.generate import generate
from networks.language.gpt import GPT, TRANSPOSED, GPTConfig, rename
from networks.registry import build_network, find_family
from networks.weights import load_official
from tests.networks.reference import torchvision_models

SMALL = GPTConfig(vocabulary=31, context_length=16, width=24, layers=3, heads=4)
TOKENS = torch.tensor([[1, 5, 3, 9, 30, 30, 2], [0, 0, 10, 2, 17, 4, 8]])
BUILDS = {"gpt": gpt.build, "gpt2": gpt2.build}


def network(name: str, config: GPTConfig = SMALL) -> GPT:
    """Ours in float64, without dropout, the same each time, with weights that make a difference."""
    torch.manual_seed(0)
    made = BUILDS[name](config).double().eval()
    assert isinstance(made, GPT)
    return stir(made)


def stir(module: nn.Module) -> Any:
    """Move all weights away from where they start, so that every one of them counts."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


def pair(name: str) -> tuple[GPT, Any]:
    """Ours and transformers' with the same weights."""
    torchvision_models()  # which transformers imports
    from transformers import GPT2Config, GPT2LMHeadModel, OpenAIGPTConfig, OpenAIGPTLMHeadModel

    kinds = {
        "gpt": (OpenAIGPTConfig, OpenAIGPTLMHeadModel),
        "gpt2": (GPT2Config, GPT2LMHeadModel),
    }
    config, model = kinds[name]
    sizes = {"vocab_size": 31, "n_positions": 16, "n_embd": 24, "n_layer": 3, "n_head": 4}
    torch.manual_seed(1)
    theirs = stir(model(config(**sizes, attn_implementation="eager")).double().eval())
    ours = network(name)
    load_official(ours, theirs.state_dict(), rename, TRANSPOSED)
    return ours, theirs


@pytest.mark.parametrize("name", BUILDS)
def test_logits_and_hidden_states_are_transformers(name: str) -> None:
    ours, theirs = pair(name)
    seen: list[Tensor] = []
    for block in ours.blocks:
        block.register_forward_hook(lambda _, __, output: seen.append(output[0]))
    logits, _ = ours(TOKENS)
    expected = theirs(TOKENS, output_hidden_states=True)
    assert expected.logits.std() > 0.5
    torch.testing.assert_close(logits, expected.logits, rtol=0, atol=1e-10)
    # theirs: the embedding, then each block; GPT-2's last has gone through the final norm
    seen[-1] = ours.norm(seen[-1])
    for got, wanted in zip(seen, expected.hidden_states[1:], strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", BUILDS)
def test_gradients_are_transformers(name: str) -> None:
    ours, theirs = pair(name)
    for model, logits in ((ours, ours(TOKENS)[0]), (theirs, theirs(TOKENS).logits)):
        F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    wanted = copy.deepcopy(ours)
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    load_official(wanted, gradients, rename, TRANSPOSED)
    for (label, got), expected in zip(ours.named_parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.data, rtol=0, atol=1e-10, msg=label)


@pytest.mark.parametrize("name", BUILDS)
def test_greedy_text_is_transformers(name: str) -> None:
    _, theirs = pair(name)
    texts = torch.randint(31, (8, 16), generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(theirs.parameters(), lr=3e-3)
    for _ in range(40):  # random weights would say one token again and again
        optimiser.zero_grad()
        theirs(texts, labels=texts).loss.backward()
        optimiser.step()
    ours = network(name)
    load_official(ours, theirs.state_dict(), rename, TRANSPOSED)
    prompts, count = texts[:, :5], 11  # up to the end of the context
    expected = theirs.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),  # else token 0 is taken for padding
        do_sample=False,
        max_new_tokens=count,
        min_new_tokens=count,
        pad_token_id=0,
    )
    assert len(expected[:, 5:].unique()) > 8
    assert torch.equal(generate(ours, prompts, count), expected)


@pytest.mark.parametrize("name", BUILDS)
def test_a_text_in_pieces_is_the_text_at_once(name: str) -> None:
    ours = network(name)
    whole, last = ours(TOKENS)
    pieces, state = [], None
    for piece in TOKENS.split((1, 1, 3, 2), dim=1):
        logits, state = ours(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", BUILDS)
def test_later_tokens_do_not_change_earlier_logits(name: str) -> None:
    ours = network(name)
    changed = TOKENS.clone()
    changed[:, 4] = torch.tensor([7, 8])
    before, after = ours(TOKENS)[0], ours(changed)[0]
    assert torch.equal(after[:, :4], before[:, :4])
    assert (after[:, 4:] != before[:, 4:]).any(dim=-1).all()


def test_published_files_load_whatever_they_carry() -> None:
    """Without the prefix, with causal masks as buffers, with and without the output."""
    ours, theirs = pair("gpt2")
    official = dict(theirs.transformer.state_dict())
    for n in range(3):
        official[f"h.{n}.attn.bias"] = torch.ones(1, 1, 16, 16)
        official[f"h.{n}.attn.masked_bias"] = torch.tensor(-1e4)
    loaded = network("gpt2")
    load_official(loaded, official, rename, TRANSPOSED)
    assert torch.equal(loaded(TOKENS)[0], ours(TOKENS)[0])
    with pytest.raises(UserError, match=r"embedding\.weight is missing"):
        load_official(network("gpt2"), {k: v for k, v in official.items() if k != "wte.weight"},
                      rename, TRANSPOSED)  # fmt: skip
    with pytest.raises(UserError, match=r"norm\.weight is unknown"):
        load_official(network("gpt"), official, rename, TRANSPOSED)
    with pytest.raises(UserError, match=r"projection\.weight has shape \(24, 72\)"):
        load_official(network("gpt2"), official, rename)


def test_first_weights() -> None:
    """GPT-2 divides what adds to the straight path by the root of the number of sublayers."""
    config = replace(SMALL, width=128)
    for name, scale in (("gpt", 1.0), ("gpt2", 1 / math.sqrt(6))):
        for parameter_name, parameter in BUILDS[name](config).named_parameters():
            if parameter_name.endswith(("output.weight", "feed_forward.2.weight")):
                assert parameter.std().item() == pytest.approx(0.02 * scale, rel=0.05), (
                    parameter_name
                )
            elif "norm" in parameter_name:
                assert (parameter == float("weight" in parameter_name)).all(), parameter_name
            elif parameter_name.endswith("weight"):
                assert parameter.std().item() == pytest.approx(0.02, rel=0.06), parameter_name
            else:
                assert (parameter == 0).all(), parameter_name


def test_dropout_is_of_embeddings_sublayers_and_attention_weights() -> None:
    config = replace(SMALL, dropout=0.25)
    for build in BUILDS.values():
        rates = [m.p for m in build(config).modules() if isinstance(m, nn.Dropout)]
        assert rates == [0.25] * (1 + 3)  # a block uses its own for both sublayers
    attention = SelfAttention(replace(SMALL, dropout=1.0), nn.Linear(24, 72))
    features, mask = torch.randn(2, 5, 24), causal_mask(5)
    dropped, _ = attention.train()(features, mask)
    torch.testing.assert_close(dropped, attention.output.bias.expand(2, 5, 24))
    kept, _ = attention.eval()(features, mask)
    assert not torch.allclose(kept, dropped)


@pytest.mark.parametrize("name", BUILDS)
def test_dropout_changes_nothing_when_not_training(name: str) -> None:
    dropped, plain = network(name), network(name, replace(SMALL, dropout=0.0))
    assert torch.equal(dropped(TOKENS)[0], plain.train()(TOKENS)[0])
    assert not torch.equal(dropped.train()(TOKENS)[0], plain(TOKENS)[0])


@pytest.mark.parametrize("name", BUILDS)
def test_learns_a_text_by_heart(name: str) -> None:
    torch.manual_seed(0)
    made = BUILDS[name](replace(SMALL, width=32, layers=2, dropout=0.0))
    optimiser = torch.optim.Adam(made.parameters(), lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(made(TOKENS[:, :-1])[0].transpose(1, 2), TOKENS[:, 1:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1
    assert torch.equal(generate(made.eval(), TOKENS[:, :1], 6), TOKENS)


def closed_form(config: GPTConfig, final_norm: bool) -> int:
    """Embeddings; blocks of 12 D^2 and 13 D: 3 D + D + 4 D + D biases and two norms."""
    width = config.width
    blocks = config.layers * (12 * width**2 + 13 * width)
    return (config.vocabulary + config.context_length) * width + blocks + 2 * width * final_norm


@pytest.mark.parametrize("name", [*gpt.PRESETS, *gpt2.PRESETS])
def test_sizes(name: str) -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in build_network(name).parameters())
    config = (gpt.PRESETS | gpt2.PRESETS)[name]
    assert count == closed_form(config, name != "gpt") == find_family(name).presets[name]


def test_what_does_not_fit_is_refused() -> None:
    for build in BUILDS.values():
        with pytest.raises(UserError, match="5 attention heads cannot share 24"):
            build(replace(SMALL, heads=5))
        with pytest.raises(UserError, match="did you mean 'gelu_tanh'"):
            build(replace(SMALL, activation="gelu_tan"))
    ours = network("gpt2")
    with pytest.raises(UserError, match="17 tokens is too long for 16"):
        ours(torch.zeros(1, 17, dtype=torch.int64))
    _, state = ours(torch.zeros(1, 16, dtype=torch.int64))
    with pytest.raises(UserError, match="17 tokens is too long for 16"):
        ours(torch.zeros(1, 1, dtype=torch.int64), state)
