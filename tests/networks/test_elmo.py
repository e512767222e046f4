"""ELMo against its reference's numbers and the paper's equations, and what each direction knows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from networks.language.elmo import (
    PRESETS,
    Elmo,
    ElmoConfig,
    ProjectedLSTM,
    ScalarMix,
    build,
    spelled,
)
from networks.language.generate import generate

SMALL = ElmoConfig(
    vocabulary=9, filters=(4, 5), letter_width=6, highways=2, cells=7, width=4,
    dropout=0.0, spellings=(b"a", b"b", b"emma", b"emmas", b" the", b"x" * 60, b"", b"\xc3", b"ab"),
)  # fmt: skip
TOKENS = torch.tensor([[1, 5, 3, 8, 2, 2, 7], [0, 0, 6, 2, 4, 6, 1]])


def model(config: ElmoConfig = SMALL) -> Elmo:
    """In float64 and evaluation, with weights that make a difference, the same each time."""
    torch.manual_seed(0)
    network = build(config).double().eval()
    assert isinstance(network, Elmo)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return network


def formula(shape: torch.Size, phase: int) -> Tensor:
    """Numbers that anyone can compute."""
    numbers = torch.arange(math.prod(shape), dtype=torch.float64)
    return 0.7 * torch.sin(1.7 * numbers + phase).reshape(shape)


REFERENCE = torch.tensor(
    [
        [-0.37429848, 0.44867242, -0.1659138, -0.76037174, 0.56025735, 0.08506004],
        [-0.27905958, 0.24253395, 0.01157112, -0.77592271, 0.59466613, 0.0934168],
        [-0.38265619, -0.18458627, 0.60490245, -0.54535989, 0.52328866, -0.08469211],
        [-0.28443834, -0.4518209, 0.8, -0.25912652, 0.25285973, -0.04532261],
    ],
    dtype=torch.float64,
)
"""What ElmobiLm of elmoformanylangs 0.0.4.post2 gives of the first text below in its second layer,
both directions side by side, for weights and inputs by `formula`."""


def test_layers_are_those_of_elmoformanylangs(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ElmoConfig(vocabulary=5, filters=(2,), cells=5, width=3, clip=0.4, dropout=0.0)
    network = model(config)
    phase = 0
    for layers in (network.forwards, network.backwards):
        for layer in layers:
            assert isinstance(layer, ProjectedLSTM)
            for weights in (
                layer.input.weight, layer.state.weight, layer.state.bias, layer.projection.weight,
            ):  # fmt: skip
                weights.data = formula(weights.shape, phase)
                phase += 1
    words = 2 * formula(torch.Size((2, 4, 3)), 99)
    monkeypatch.setattr(network, "words", lambda tokens: words)
    second = network.representations(torch.zeros(2, 4, dtype=torch.int64))[2]
    torch.testing.assert_close(second[0], REFERENCE, atol=1e-8, rtol=0)
    assert (second[0] == 0.8).any(), "clipping must make a difference"


def test_a_layer_without_clipping_is_torchs() -> None:
    config = replace(SMALL, clip=1e9)
    torch.manual_seed(0)
    ours = ProjectedLSTM(config).double()
    theirs = nn.LSTM(4, 7, proj_size=4, batch_first=True).double()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.input.weight)
        theirs.weight_hh_l0.copy_(ours.state.weight)
        theirs.weight_hr_l0.copy_(ours.projection.weight)
        theirs.bias_ih_l0.copy_(ours.state.bias)
        theirs.bias_hh_l0.zero_()
    x = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    found, (hidden, cell) = ours(x)
    expected, (last, memory) = theirs(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close((hidden, cell), (last[0], memory[0]))
    gradients = (torch.autograd.grad(y.square().sum(), x)[0] for y in (found, expected))
    torch.testing.assert_close(*gradients)


def test_words_follow_the_papers_equations() -> None:
    network = model()
    part = network.letters
    found = network.words(TOKENS)
    for place, token in ((0, 1), (2, 3), (1, 5)):  # b, emmas, sixty times x
        letters = [258, *SMALL.spellings[token][:48], 259]
        letters += [260] * (50 - len(letters))
        embedded = part.letters.weight[torch.tensor(letters)]  # [L, features]
        values = []
        for layer in part.convolutions:
            assert isinstance(layer, nn.Conv1d)
            width = layer.weight.shape[2]
            for kernel, bias in zip(layer.weight, layer.bias, strict=True):  # type: ignore[arg-type]
                pieces = [embedded[i : i + width] for i in range(50 - width + 1)]
                values.append(max((kernel.T * piece).sum() + bias for piece in pieces))  # type: ignore[type-var]
        x = torch.stack(values).clamp(min=0)  # type: ignore[arg-type]
        for layer in part.highways:
            assert isinstance(layer, nn.Linear)
            new, carried = (layer.weight @ x + layer.bias).split(9)
            gate = 1 / (1 + torch.exp(-carried))
            x = gate * x + (1 - gate) * new.clamp(min=0)
        expected = part.projection.weight @ x + part.projection.bias
        torch.testing.assert_close(found[0, place], expected)


def test_each_direction_knows_its_side_alone() -> None:
    network = model()
    changed = TOKENS.clone()
    changed[:, 3] = torch.tensor([4, 5])
    ahead = (network(changed)[0] - network(TOKENS)[0]).abs().amax(dim=(0, 2)) > 1e-6
    assert ahead.tolist() == [False] * 3 + [True] * 4
    one, other = network.logits_backwards(changed), network.logits_backwards(TOKENS)
    behind = (one - other).abs().amax(dim=(0, 2)) > 1e-6
    assert behind.tolist() == [True] * 4 + [False] * 3
    layers = network.representations(changed) - network.representations(TOKENS)
    moved = layers.abs().amax(dim=1) > 1e-6  # [layers + 1, T, 2 P]
    assert moved[0].any(dim=1).tolist() == [False] * 3 + [True] + [False] * 3
    for layer in moved[1:]:
        assert layer[:, :4].any(dim=1).tolist() == ahead.tolist()
        assert layer[:, 4:].any(dim=1).tolist() == behind.tolist()


def test_a_text_in_pieces_is_the_text_at_once() -> None:
    network = model()
    whole, last = network(TOKENS)
    state, pieces = None, []
    for piece in TOKENS.split(3, dim=1):
        logits, state = network(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
    torch.testing.assert_close(state, last)
    assert torch.equal(generate(network, TOKENS, 5), generate(network, TOKENS, 5, keep_state=False))


@pytest.mark.parametrize("name", ["elmo", "elmo_medium", "elmo_small"])
def test_parameters_without_the_output_are_the_published_ones(name: str) -> None:
    published = {"elmo": 93_600_848, "elmo_medium": 28_027_728, "elmo_small": 13_593_296}
    with torch.device("meta"):
        network = build(replace(PRESETS[name], vocabulary=1))
    counts = {n: p.numel() for n, p in network.named_parameters() if not n.startswith("output")}
    assert sum(counts.values()) == published[name]


def test_a_learned_mean_finds_the_layer_that_matters() -> None:
    layers = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    mix = ScalarMix(3)
    torch.testing.assert_close(mix(layers), layers.mean(dim=0))
    optimiser = torch.optim.Adam(mix.parameters(), 0.1)
    for _ in range(300):
        optimiser.zero_grad()
        torch.autograd.backward((mix(layers) - 2 * layers[1]).square().mean())
        optimiser.step()
    assert mix.weights.softmax(dim=0)[1] > 0.95 and abs(float(mix.gamma.detach()) - 2) < 0.1


def test_every_weight_learns() -> None:
    network = model()
    loss = network(TOKENS)[0].square().sum() + network.logits_backwards(TOKENS).square().sum()
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_spellings_have_a_frame_and_an_end() -> None:
    rows = spelled([b"", b"ab", b"y" * 99])
    assert rows.shape == (3, 50)
    assert rows[0].tolist() == [258, 259] + [260] * 48
    assert rows[1].tolist() == [258, 97, 98, 259] + [260] * 46
    assert rows[2].tolist() == [258] + [121] * 48 + [259]
    without = model(replace(SMALL, spellings=()))
    words = without.words(torch.tensor([[0, 1, 0]]))[0]
    assert torch.equal(words[0], words[2]) and (words[0] - words[1]).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spellings": (b"a",)}, "9 tokens need a spelling each, got 1"),
        ({"filters": (1,) * 51}, "filters must be over 0, of 50 widths at most"),
        ({"filters": (3, 0)}, "filters must be over 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(replace(SMALL, **changes))
