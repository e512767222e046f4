"""The LSTM language model against torch's layers and against the paper's equations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from networks.language.lstm import PRESETS, LSTMConfig, LSTMLanguageModel, build
from networks.registry import build_network, find_family

SMALL = LSTMConfig(vocabulary=11, width=6, layers=3)
TOKENS = torch.tensor([[1, 5, 3, 9], [0, 0, 10, 2]])


def model(config: LSTMConfig = SMALL) -> LSTMLanguageModel:
    """A model in float64, the same each time."""
    torch.manual_seed(0)
    return LSTMLanguageModel(config).double()


def from_the_paper(network: LSTMLanguageModel, tokens: Tensor) -> Tensor:
    """Logits by Zaremba et al. 2014, section 3.1, one step and one layer at a time."""
    state = dict(network.recurrent.named_parameters())
    layers, width = network.recurrent.num_layers, network.recurrent.hidden_size
    hidden = [torch.zeros(len(tokens), width, dtype=torch.float64) for _ in range(layers)]
    cell = list(hidden)
    logits = []
    for t in range(tokens.shape[1]):
        below = network.embedding.weight[tokens[:, t]]
        for n in range(layers):
            gates = (
                below @ state[f"weight_ih_l{n}"].T
                + hidden[n] @ state[f"weight_hh_l{n}"].T
                + state[f"bias_ih_l{n}"]
                + state[f"bias_hh_l{n}"]
            )
            i, f, g, o = gates.chunk(4, dim=1)
            cell[n] = f.sigmoid() * cell[n] + i.sigmoid() * g.tanh()
            hidden[n] = o.sigmoid() * cell[n].tanh()
            below = hidden[n]
        logits.append(below @ network.output.weight.T + network.output.bias)
    return torch.stack(logits, dim=1)


def test_logits_and_gradients_follow_the_papers_equations() -> None:
    network = model()
    logits, _ = network(TOKENS)
    expected = from_the_paper(network, TOKENS)
    torch.testing.assert_close(logits, expected)
    parameters = list(network.parameters())
    got = torch.autograd.grad(logits.square().sum(), parameters)
    wanted = torch.autograd.grad(expected.square().sum(), parameters)
    torch.testing.assert_close(got, wanted)
    assert all(gradient.abs().sum() > 0 for gradient in got)


@pytest.mark.parametrize(("cell", "layer"), [("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_layers_are_torchs(cell: str, layer: type[nn.LSTM] | type[nn.GRU]) -> None:
    network = model(replace(SMALL, cell=cell))
    theirs = layer(6, 6, 3, batch_first=True).double()
    theirs.load_state_dict(network.recurrent.state_dict())
    features, expected_state = theirs(F.embedding(TOKENS, network.embedding.weight))
    logits, state = network(TOKENS)
    torch.testing.assert_close(logits, network.output(features))
    torch.testing.assert_close(state, expected_state)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_text_in_pieces_is_the_text_at_once(cell: str) -> None:
    network = model(replace(SMALL, cell=cell))
    whole, last = network(TOKENS)
    first, state = network(TOKENS[:, :1])
    rest, state = network(TOKENS[:, 1:], state)
    torch.testing.assert_close(torch.cat((first, rest), dim=1), whole)
    torch.testing.assert_close(state, last)


def test_dropout_spares_the_memory() -> None:
    """With everything dropped on the way up, each layer still goes on from its own past."""
    network = model(replace(SMALL, dropout=1.0)).train()
    start = (torch.randn(3, 2, 6).double(), torch.randn(3, 2, 6).double())
    logits, (hidden, cell) = network(TOKENS, start)
    assert torch.equal(logits, network.output.bias.expand_as(logits))
    nothing = torch.zeros(2, TOKENS.shape[1], 6, dtype=torch.float64)
    weights = network.recurrent.state_dict()
    for n in range(3):
        alone = nn.LSTM(6, 6, batch_first=True).double()
        alone.load_state_dict({k[:-1] + "0": v for k, v in weights.items() if k[-1] == str(n)})
        _, (one_hidden, one_cell) = alone(nothing, (start[0][n : n + 1], start[1][n : n + 1]))
        torch.testing.assert_close(hidden[n], one_hidden[0])
        torch.testing.assert_close(cell[n], one_cell[0])


def test_dropout_is_on_the_embedding_between_layers_and_on_the_output() -> None:
    network = model(replace(SMALL, dropout=0.5, layers=1)).train()
    assert network.dropout.p == 0.5
    assert network.recurrent.dropout == 0.0
    assert model(replace(SMALL, dropout=0.5)).recurrent.dropout == 0.5
    first, second = network(TOKENS)[0], network(TOKENS)[0]
    assert not torch.equal(first, second)
    network.eval()
    torch.testing.assert_close(network(TOKENS)[0], from_the_paper(network, TOKENS))


def test_all_weights_start_within_the_range() -> None:
    for parameter in model(replace(SMALL, initial_range=0.04)).parameters():
        assert 0.02 < parameter.abs().max() <= 0.04


def test_tied_embeddings_are_one_matrix() -> None:
    tied, untied = model(replace(SMALL, tied=True)), model()
    assert tied.output.weight is tied.embedding.weight
    fewer = sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in tied.parameters())
    assert fewer == 11 * 6
    logits, _ = tied(TOKENS)
    torch.testing.assert_close(logits, from_the_paper(tied, TOKENS))


def closed_form(vocabulary: int, width: int, layers: int) -> int:
    """Embedding, four gates with two matrices and two biases a layer, output with bias."""
    return 2 * vocabulary * width + vocabulary + layers * 4 * (2 * width**2 + 2 * width)


@pytest.mark.parametrize("name", PRESETS)
def test_published_sizes(name: str) -> None:
    width = {"lstm_small": 200, "lstm_medium": 650, "lstm_large": 1500}[name]
    with torch.device("meta"):
        network = build_network(name)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == closed_form(10_000, width, 2)
    assert find_family(name).presets[name] == count


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_mixed_precision_works_on_every_processor(cell: str) -> None:
    network = model(replace(SMALL, cell=cell)).float()
    expected, _ = network(TOKENS)
    with torch.autocast("cpu", torch.bfloat16):
        first, state = network(TOKENS[:, :2])
        rest, _ = network(TOKENS[:, 2:], state)
    got = torch.cat((first, rest), dim=1).float()
    torch.testing.assert_close(got, expected, atol=2e-3, rtol=0)


def test_unknown_cells_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'lstm'"):
        build(replace(SMALL, cell="lstms"))
