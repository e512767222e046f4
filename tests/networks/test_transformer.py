"""The Transformer against torch's layers, and what must not change its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from networks.blocks.positions import Sinusoid
from networks.language.transformer import (
    PRESETS,
    DecoderLayer,
    EncoderLayer,
    Transformer,
    TransformerConfig,
    build,
)
from networks.registry import build_network
from networks.weights import load_official

SMALL = TransformerConfig(
    vocabulary=13, width=12, layers=3, heads=3, feed_forward=20, context_length=16
)
SOURCE = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 0, 0]])
ATTEND = SOURCE != 0
TARGET = torch.tensor([[1, 5, 7, 2], [1, 11, 12, 3]])


def network(config: TransformerConfig = SMALL) -> Transformer:
    """A network in float64 without dropout, the same each time, with biases that are not zero."""
    torch.manual_seed(0)
    made = Transformer(config).double().eval()
    for parameter in made.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=0.5)
    return made


def from_torch(weights: Mapping[str, Tensor], sublayers: tuple[str, ...]) -> dict[str, Tensor]:
    """State of a torch layer by our names; torch packs three projections into one matrix."""
    ours: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        for theirs, replacement in {
            "self_attn.": "attention.",
            "multihead_attn.": "source_attention.",
            "out_proj.": "output.",
            "linear1.": "feed_forward.0.",
            "linear2.": "feed_forward.2.",
            **{f"norm{i}.": f"after_{part}.norm." for i, part in enumerate(sublayers, start=1)},
        }.items():
            name = name.replace(theirs, replacement)
        if "in_proj_" in name:
            stem, kind = name.split("in_proj_")
            parts = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
            ours |= {f"{stem}{part}.{kind}": piece for part, piece in parts}
        else:
            ours[name] = tensor
    return ours


def torch_layer(kind: type[nn.Module]) -> nn.Module:
    """A post-norm layer with random biases and norms."""
    torch.manual_seed(1)
    layer = kind(12, 3, 20, dropout=0.0, batch_first=True).double()  # type: ignore[call-arg]
    for parameter in layer.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter)
    return layer


def test_encoder_layer_matches_torch() -> None:
    theirs = torch_layer(nn.TransformerEncoderLayer)
    ours = EncoderLayer(replace(SMALL, dropout=0.0)).double()
    load_official(ours, from_torch(theirs.state_dict(), ("attention", "feed_forward")))
    features = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)
    expected = theirs(features, src_key_padding_mask=~ATTEND)[ATTEND]
    got = ours(features, ATTEND[:, None, None, :])[ATTEND]
    torch.testing.assert_close(got, expected)
    gradient = torch.autograd.grad(got.pow(3).sum(), features)
    wanted = torch.autograd.grad(expected.pow(3).sum(), features)
    torch.testing.assert_close(gradient, wanted)


def test_decoder_layer_matches_torch() -> None:
    theirs = torch_layer(nn.TransformerDecoderLayer)
    ours = DecoderLayer(replace(SMALL, dropout=0.0)).double()
    load_official(ours, from_torch(theirs.state_dict(), ("attention", "source", "feed_forward")))
    target = torch.randn(2, 4, 12, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    expected = theirs(target, memory, tgt_mask=~causal, memory_key_padding_mask=~ATTEND)
    sources = ours.source_attention.remember(memory)
    got, _ = ours(target, None, causal, sources, ATTEND[:, None, None, :])
    torch.testing.assert_close(got, expected)
    gradient = torch.autograd.grad(got.pow(3).sum(), (target, memory))
    wanted = torch.autograd.grad(expected.pow(3).sum(), (target, memory))
    torch.testing.assert_close(gradient, wanted)


def test_the_whole_matches_stacks_of_torchs_layers() -> None:
    encoders = nn.ModuleList(torch_layer(nn.TransformerEncoderLayer) for _ in range(3))
    decoders = nn.ModuleList(torch_layer(nn.TransformerDecoderLayer) for _ in range(3))
    with torch.no_grad():
        for n, layer in enumerate([*encoders, *decoders]):
            for parameter in layer.parameters():
                parameter.mul_(1.0 + 0.1 * n)  # so that no layer is like another
    ours = network()
    load_official(
        ours,
        {"embedding.weight": ours.embedding.weight.detach().clone()}
        | {f"encoder.{k}": v
           for k, v in from_torch(encoders.state_dict(), ("attention", "feed_forward")).items()}
        | {f"decoder.{k}": v for k, v in
           from_torch(decoders.state_dict(), ("attention", "source", "feed_forward")).items()},
    )  # fmt: skip

    def embed(tokens: Tensor) -> Tensor:
        return ours.embedding.weight[tokens] * 12**0.5 + Sinusoid(12)(tokens)

    memory, features = embed(SOURCE), embed(TARGET)
    for layer in encoders:
        memory = layer(memory, src_key_padding_mask=~ATTEND)
    ahead = ~torch.ones(4, 4, dtype=torch.bool).tril()
    for layer in decoders:
        features = layer(features, memory, tgt_mask=ahead, memory_key_padding_mask=~ATTEND)
    expected = features @ ours.embedding.weight.T
    got = ours(SOURCE, ATTEND, TARGET)
    torch.testing.assert_close(got, expected)
    gradient = torch.autograd.grad(got.square().sum(), ours.embedding.weight)
    wanted = torch.autograd.grad(expected.square().sum(), ours.embedding.weight)
    torch.testing.assert_close(gradient, wanted)


def test_later_target_tokens_do_not_change_earlier_logits() -> None:
    translator = network()
    before = translator(SOURCE, ATTEND, TARGET)
    changed = TARGET.clone()
    changed[:, 2] = torch.tensor([4, 9])
    after = translator(SOURCE, ATTEND, changed)
    assert torch.equal(after[:, :2], before[:, :2])
    assert (after[:, 2:] != before[:, 2:]).any(dim=-1).all()


def test_padding_changes_nothing() -> None:
    translator = network()
    together = translator(SOURCE, ATTEND, TARGET)
    short = SOURCE[1:, :3]
    alone = translator(short, short != 0, TARGET[1:])
    torch.testing.assert_close(together[1:], alone)
    filled = SOURCE.masked_fill(~ATTEND, 12)
    torch.testing.assert_close(translator(filled, ATTEND, TARGET), together)
    longer = torch.cat((TARGET, torch.full((2, 3), 0)), dim=1)
    torch.testing.assert_close(translator(SOURCE, ATTEND, longer)[:, :4], together)


@pytest.mark.parametrize("positions", ["sinusoid", "learned"])
def test_a_target_in_pieces_is_the_target_at_once(positions: str) -> None:
    translator = network(replace(SMALL, positions=positions))
    encoded = translator.encode(SOURCE, ATTEND)
    whole = translator.decode(encoded, TARGET)
    first, state = translator.extend(encoded, TARGET[:, :1])
    second, state = translator.extend(encoded, TARGET[:, 1:3], state)
    third, state = translator.extend(encoded, TARGET[:, 3:], state)
    torch.testing.assert_close(torch.cat((first, second, third), dim=1), whole)


def test_order_matters_in_the_source() -> None:
    translator = network()
    turned = translator(SOURCE[:1].flip(1), ATTEND[:1], TARGET[:1])
    assert not torch.allclose(turned, translator(SOURCE[:1], ATTEND[:1], TARGET[:1]), atol=1e-3)


@pytest.mark.parametrize("layers", [1, 3])
def test_attention_map(layers: int) -> None:
    translator = network(replace(SMALL, layers=layers))
    weights = translator.attention_map(SOURCE, ATTEND, TARGET)
    assert weights.shape == (2, 4, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, dtype=torch.float64))
    assert (weights[1, :, 3:] == 0).all()
    shown = {1: 0, 3: 1}[layers]
    with torch.no_grad():  # values that name their position come out as the weights
        layer = translator.decoder[shown].source_attention
        seen: list[Tensor] = []
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        translator(SOURCE, ATTEND, TARGET)
        _, sources = translator.encode(SOURCE, ATTEND)
        expected = layer.weights(seen[0], sources[shown], ATTEND[:, None, None, :])
    torch.testing.assert_close(weights, expected.mean(dim=1))


def test_every_parameter_learns() -> None:
    translator = network(replace(SMALL, positions="learned"))
    translator(SOURCE, ATTEND, TARGET).pow(3).sum().backward()
    for name, parameter in translator.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_dropout_is_where_the_paper_has_it() -> None:
    """Two embeddings (one module), two sublayers in the encoder and three in the decoder."""
    config = replace(SMALL, dropout=0.25)
    rates = [module.p for module in Transformer(config).modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.25] * (1 + 3 * (2 + 3))


def test_embeddings_start_with_unit_variance() -> None:
    translator = Transformer(replace(SMALL, vocabulary=2000, dropout=0.0))
    tokens = torch.arange(2000)[None]
    embedded = translator.embed(tokens) - translator.positions(tokens)
    assert 0.95 < embedded.std() < 1.05


def closed_form(vocabulary: int, width: int, layers: int, feed_forward: int) -> int:
    """One matrix of embeddings; layers of attention (4), feed-forward (2) and norms (2 or 3)."""
    attention = 4 * (width**2 + width)
    dense = 2 * width * feed_forward + feed_forward + width
    encoder, decoder = attention + dense + 4 * width, 2 * attention + dense + 6 * width
    return vocabulary * width + layers * (encoder + decoder)


@pytest.mark.parametrize("name", PRESETS)
def test_sizes(name: str) -> None:
    with torch.device("meta"):
        made = build_network(name)
    config = PRESETS[name]
    count = sum(parameter.numel() for parameter in made.parameters())
    assert count == closed_form(config.vocabulary, config.width, config.layers, config.feed_forward)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="5 attention heads cannot share 12"):
        build(replace(SMALL, heads=5))
    translator = network(replace(SMALL, positions="learned"))
    with pytest.raises(UserError, match="17 tokens is too long for 16"):
        translator.encode(torch.ones(1, 17, dtype=torch.int64), torch.ones(1, 17, dtype=torch.bool))
