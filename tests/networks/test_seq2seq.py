"""The recurrent translators against the paper's equations, position by position."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from networks.language.seq2seq import PRESETS, GatedUnit, RecurrentTranslator, Seq2SeqConfig
from networks.registry import build_network

SMALL = Seq2SeqConfig(vocabulary=13, width=6, embedding=5, alignment=7, maxout=4)
SOURCE = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 0, 0]])
ATTEND = SOURCE != 0
TARGET = torch.tensor([[1, 5, 7, 2], [1, 11, 12, 3]])
KINDS = pytest.mark.parametrize("attention", [True, False])


def network(attention: bool) -> RecurrentTranslator:
    """A network in float64 with weights large enough to matter, the same each time."""
    torch.manual_seed(0)
    made = RecurrentTranslator(replace(SMALL, attention=attention)).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


class Paper:
    """Appendix A.2 on one sentence, with vectors and the paper's own letters.

    Biases, which the paper leaves out for the sake of reading, are added once to each sum.
    """

    def __init__(self, ours: RecurrentTranslator) -> None:
        self.ours = ours

    def unit(self, unit: GatedUnit, x: Tensor, s: Tensor, c: Tensor | None = None) -> Tensor:
        """A.1.1: the next state from an input, a state and, in the decoder, a context."""
        Wz, Wr, W = unit.inputs.weight.chunk(3)
        bz, br, b = unit.inputs.bias.chunk(3)
        (Uz, Ur), U = unit.gates.weight.chunk(2), unit.candidate.weight
        az, ar, a = Wz @ x + bz, Wr @ x + br, W @ x + b
        if c is not None:
            Cz, Cr, C = self.ours.unit_context.weight.chunk(3)
            az, ar, a = az + Cz @ c, ar + Cr @ c, a + C @ c
        z = 1 / (1 + torch.exp(-(az + Uz @ s)))
        r = 1 / (1 + torch.exp(-(ar + Ur @ s)))
        proposed = torch.tanh(a + U @ (r * s))
        return (1 - z) * s + z * proposed

    def annotations(self, source: list[int]) -> tuple[list[Tensor], Tensor]:
        """h_1 .. h_S, and the state that the decoder starts from."""
        encoder = self.ours.encoder
        x = [encoder.embedding.weight[token] for token in source]
        zero = torch.zeros(SMALL.width, dtype=torch.float64)
        ahead = [zero]
        for x_j in x:
            ahead.append(self.unit(encoder.forward_unit, x_j, ahead[-1]))
        if not hasattr(encoder, "backward_unit"):
            return ahead[1:], ahead[-1]
        behind = [zero]
        for x_j in reversed(x):
            behind.append(self.unit(encoder.backward_unit, x_j, behind[-1]))
        pairs = zip(ahead[1:], reversed(behind[1:]), strict=True)
        return [torch.cat(pair) for pair in pairs], behind[-1]

    def context(self, s: Tensor, h: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """A.1.2: the alignment model; without attention the last forward state."""
        look = self.ours.context
        if not hasattr(look, "query"):
            return h[-1], None
        v, Wa, Ua, b = look.energy.weight[0], look.query.weight, look.key.weight, look.query.bias
        e = [v @ torch.tanh(Wa @ s + b + Ua @ h_j) for h_j in h]
        total = sum(torch.exp(e_j) for e_j in e)
        weights = [torch.exp(e_j) / total for e_j in e]
        return sum(a * h_j for a, h_j in zip(weights, h, strict=True)), torch.stack(weights)  # type: ignore[return-value]

    def translate(self, source: list[int], target: list[int]) -> tuple[Tensor, list[Tensor | None]]:
        """A.2.2: logits after each target token, and the weights that gave them."""
        h, first = self.annotations(source)
        s = torch.tanh(self.ours.start.weight @ first + self.ours.start.bias)
        logits, looks = [], []
        for token in target:
            y = self.ours.embedding.weight[token]
            c, weights = self.context(s, h)
            both = self.ours.maxout.weight @ torch.cat((s, y, c)) + self.ours.maxout.bias
            t = torch.stack([torch.maximum(*both[2 * j : 2 * j + 2]) for j in range(SMALL.maxout)])
            logits.append(self.ours.output.weight @ t + self.ours.output.bias)
            looks.append(weights)
            s = self.unit(self.ours.unit, y, s, c)
        return torch.stack(logits), looks


@KINDS
def test_logits_and_gradients_follow_appendix_a2(attention: bool) -> None:
    ours = network(attention)
    got = ours(SOURCE, ATTEND, TARGET)
    sentences = [SOURCE[0].tolist(), SOURCE[1, :3].tolist()]
    expected = torch.stack(
        [Paper(ours).translate(x, y)[0] for x, y in zip(sentences, TARGET.tolist(), strict=True)]
    )
    torch.testing.assert_close(got, expected)
    parameters = list(ours.parameters())
    gradients = torch.autograd.grad(got.square().sum(), parameters)
    wanted = torch.autograd.grad(expected.square().sum(), parameters)
    torch.testing.assert_close(gradients, wanted)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_attention_map_follows_appendix_a1() -> None:
    ours = network(attention=True)
    weights = ours.attention_map(SOURCE, ATTEND, TARGET)
    assert weights is not None and weights.shape == (2, 4, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, dtype=torch.float64))
    assert (weights[1, :, 3:] == 0).all()
    _, looks = Paper(ours).translate(SOURCE[1, :3].tolist(), TARGET[1].tolist())
    for i, look in enumerate(looks):
        torch.testing.assert_close(weights[1, i, :3], look)


def test_there_is_no_attention_map_without_attention() -> None:
    assert network(attention=False).attention_map(SOURCE, ATTEND, TARGET) is None


def test_the_unit_is_torchs_gru_where_nothing_is_reset() -> None:
    """The two differ in where the reset acts; with it wide open they agree, z being 1 - z."""
    torch.manual_seed(0)
    unit, theirs = GatedUnit(5, 6).double(), nn.GRUCell(5, 6).double()
    with torch.no_grad():
        unit.inputs.bias[6:12] = 100.0  # r = 1
        z, _, new = unit.inputs.weight.chunk(3)
        bz, br, b = unit.inputs.bias.chunk(3)
        uz, ur = unit.gates.weight.chunk(2)
        theirs.weight_ih.copy_(torch.cat((unit.inputs.weight[6:12], -z, new)))
        theirs.weight_hh.copy_(torch.cat((ur, -uz, unit.candidate.weight)))
        theirs.bias_ih.copy_(torch.cat((br, -bz, b)))
        theirs.bias_hh.zero_()
    x, state = torch.randn(3, 5).double(), torch.randn(3, 6).double()
    torch.testing.assert_close(unit(unit.inputs(x), state), theirs(x, state))


@KINDS
def test_later_target_tokens_do_not_change_earlier_logits(attention: bool) -> None:
    ours = network(attention)
    before = ours(SOURCE, ATTEND, TARGET)
    changed = TARGET.clone()
    changed[:, 2] = torch.tensor([4, 9])
    after = ours(SOURCE, ATTEND, changed)
    assert torch.equal(after[:, :2], before[:, :2])
    assert (after[:, 2:] != before[:, 2:]).any(dim=-1).all()


@KINDS
def test_padding_changes_nothing(attention: bool) -> None:
    ours = network(attention)
    together = ours(SOURCE, ATTEND, TARGET)
    torch.testing.assert_close(ours(SOURCE.masked_fill(~ATTEND, 12), ATTEND, TARGET), together)
    shifted, seen = SOURCE[1:].roll(2, dims=1), ATTEND[1:].roll(2, dims=1)
    torch.testing.assert_close(ours(shifted, seen, TARGET[1:]), together[1:])
    longer = torch.cat((TARGET, torch.full((2, 3), 0)), dim=1)
    torch.testing.assert_close(ours(SOURCE, ATTEND, longer)[:, :4], together)


@KINDS
def test_a_target_in_pieces_is_the_target_at_once(attention: bool) -> None:
    ours = network(attention)
    encoded = ours.encode(SOURCE, ATTEND)
    first, state = ours.extend(encoded, TARGET[:, :1])
    rest, state = ours.extend(encoded, TARGET[:, 1:], state)
    whole, last = ours.extend(encoded, TARGET)
    torch.testing.assert_close(torch.cat((first, rest), dim=1), whole)
    torch.testing.assert_close(state, last)
    torch.testing.assert_close(ours.decode(encoded, TARGET), whole)


def test_weights_start_as_in_appendix_b1() -> None:
    torch.manual_seed(0)
    sizes = {"vocabulary": 300, "width": 100, "embedding": 80, "alignment": 90}
    made = RecurrentTranslator(replace(SMALL, **sizes))
    state = made.state_dict()
    for name, tensor in state.items():
        if name.endswith("bias") or name == "context.energy.weight":
            assert not tensor.any(), name
        elif name.startswith("context."):
            assert 0.0009 < tensor.std() < 0.0011, name
        elif "gates" in name or "candidate" in name:
            for matrix in tensor.split(100):
                torch.testing.assert_close(matrix @ matrix.T, torch.eye(100), atol=1e-5, rtol=0)
        else:
            assert 0.009 < tensor.std() < 0.011, name


def closed_form(attention: bool) -> int:
    """By the matrices of appendix A.2 with n = n' = 1000, m = 620, l = 500, and one bias each."""
    K, n, m, l = 30_000, 1000, 620, 500  # noqa: E741
    unit = 3 * (n * m + n * n + n)
    contexts = 2 * n if attention else n
    encoder = K * m + (2 * unit if attention else unit) + n * n + n
    decoder = K * m + unit + 3 * n * contexts
    alignment = n * n + n * 2 * n + n + n if attention else 0
    output = 2 * l * (n + m + contexts) + 2 * l + K * l + K
    return encoder + decoder + alignment + output


@pytest.mark.parametrize("name", PRESETS)
def test_sizes(name: str) -> None:
    with torch.device("meta"):
        made = build_network(name)
    count = sum(parameter.numel() for parameter in made.parameters())
    assert count == closed_form(name == "rnnsearch")
