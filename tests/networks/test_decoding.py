"""Greedy and beam search against enumeration and against plain loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from networks.base import Translator
from networks.language.decoding import Extends, beam_search, greedy
from networks.language.seq2seq import RecurrentTranslator, Seq2SeqConfig
from networks.language.transformer import Transformer, TransformerConfig

START, END = 1, 2
IDS = {"start": START, "end": END}


@cache
def random_row(size: int, sharpness: float, key: tuple[int, ...]) -> Tensor:
    """Random numbers that follow from the key."""
    generator = torch.Generator().manual_seed(hash(key) % 2**31)
    return sharpness * torch.randn(size, generator=generator)


class Table(Translator):
    """Logits that follow from the first source token and the whole beginning of the target."""

    def __init__(self, vocabulary: int, sharpness: float = 1.5) -> None:
        super().__init__()
        self.vocabulary, self.sharpness = vocabulary, sharpness
        self.calls = 0

    def encode(self, source: Tensor, attend: Tensor) -> Any:
        return (source[:, :1],)

    def decode(self, encoded: Any, target: Tensor) -> Tensor:
        self.calls += 1
        rows = torch.cat((encoded[0], target), dim=1).tolist()
        logits = torch.stack([self._row(tuple(row)) for row in rows])
        return logits[:, None].expand(-1, target.shape[1], -1)

    def _row(self, key: tuple[int, ...]) -> Tensor:
        return random_row(self.vocabulary, self.sharpness, key)

    def log_p(self, source: int, target: list[int]) -> float:
        """log P(target | source); the target has no start token."""
        total, prefix = 0.0, (source, START)
        for token in target:
            total += float(self._row(prefix).log_softmax(-1)[token])
            prefix = (*prefix, token)
        return total


def penalty(length: int, alpha: float) -> float:
    """Wu et al. 2016, equation 14."""
    return (5 + length) ** alpha / (5 + 1) ** alpha


def all_targets(vocabulary: int, longest: int) -> Iterator[list[int]]:
    """Every target of at most `longest` tokens that ends, the end included."""
    others = [token for token in range(vocabulary) if token != END]
    for length in range(longest):
        for body in itertools.product(others, repeat=length):
            yield [*body, END]


SOURCES = torch.tensor([[3], [4], [5], [6], [7]])
SEEN = torch.ones_like(SOURCES, dtype=torch.bool)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
def test_a_beam_of_all_targets_finds_the_best_of_all(alpha: float) -> None:
    vocabulary, longest = 4, 4
    table = Table(vocabulary)
    found = beam_search(table, SOURCES, SEEN, **IDS, longest=longest, beams=81 + 27, alpha=alpha)
    for source, target in zip(SOURCES[:, 0].tolist(), found, strict=True):
        scores = {
            tuple(t): table.log_p(source, t) / penalty(len(t), alpha)
            for t in all_targets(vocabulary, longest)
        }
        assert (*target, END) == max(scores, key=scores.__getitem__)


def test_the_length_penalty_lengthens() -> None:
    table = Table(4)
    lengths = [
        sum(map(len, beam_search(table, SOURCES, SEEN, **IDS, longest=5, beams=300, alpha=alpha)))
        for alpha in (0.0, 3.0)
    ]
    assert lengths[0] < lengths[1]


def plain_beam(table: Table, source: int, longest: int, beams: int, alpha: float) -> list[int]:
    """The same search with lists, for one source."""
    kept: list[list[int]] = [[]]

    def score(target: list[int]) -> float:
        return table.log_p(source, target) / penalty(len(target), alpha)

    for _ in range(longest):
        longer = [t for t in kept if END in t]
        longer += [[*t, v] for t in kept if END not in t for v in range(table.vocabulary)]
        kept = sorted(longer, key=score, reverse=True)[:beams]
    ended = [t for t in kept if END in t]
    best = max(ended or kept, key=score)
    return [token for token in best if token != END]


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_narrow_beams_are_those_of_plain_loops(beams: int, alpha: float) -> None:
    table = Table(6)
    found = beam_search(table, SOURCES, SEEN, **IDS, longest=7, beams=beams, alpha=alpha)
    plain = [plain_beam(table, s, 7, beams, alpha) for s in SOURCES[:, 0].tolist()]
    assert found == plain
    assert len({tuple(target) for target in found}) > 1


def test_greedy_takes_the_likeliest_and_is_a_beam_of_one() -> None:
    table = Table(6)
    found = greedy(table, SOURCES, SEEN, **IDS, longest=7)
    assert found == beam_search(table, SOURCES, SEEN, **IDS, longest=7, beams=1)
    for source, target in zip(SOURCES[:, 0].tolist(), found, strict=True):
        prefix: tuple[int, ...] = (source, START)
        for token in (*target, END)[:7]:
            assert token == int(table._row(prefix).argmax())
            prefix = (*prefix, token)


class Scripted(Translator):
    """Says fixed words with almost all of the probability."""

    def __init__(self, words: list[int]) -> None:
        super().__init__()
        self.words, self.calls = words, 0

    def encode(self, source: Tensor, attend: Tensor) -> Any:
        return (source,)

    def decode(self, encoded: Any, target: Tensor) -> Tensor:
        self.calls += 1
        logits = torch.zeros(*target.shape, 6)
        logits[:, -1, self.words[target.shape[1] - 1]] = 20.0
        return logits


def test_both_stop_at_the_end() -> None:
    for search in (greedy, beam_search):
        script = Scripted([3, 4, END, 5, 5, 5, 5, 5, 5, 5])
        assert search(script, SOURCES, SEEN, **IDS, longest=10) == [[3, 4]] * 5
        assert script.calls == 3


def test_both_cut_off_what_does_not_end() -> None:
    for search in (greedy, beam_search):
        script = Scripted([3, 4, 5, 5, 5, 5])
        assert search(script, SOURCES, SEEN, **IDS, longest=4)[0][:3] == [3, 4, 5]
        assert script.calls == 4
        assert search(Scripted([END]), SOURCES, SEEN, **IDS, longest=0) == [[]] * 5


def recurrent(attention: bool) -> nn.Module:
    return RecurrentTranslator(
        Seq2SeqConfig(
            vocabulary=12, attention=attention, width=8, embedding=8, alignment=8, maxout=8
        )
    )


def transformer() -> nn.Module:
    return Transformer(
        TransformerConfig(vocabulary=12, width=16, layers=2, heads=2, feed_forward=32, dropout=0.0)
    )


NETWORKS = {
    "rnnsearch": lambda: recurrent(True),
    "rnnencdec": lambda: recurrent(False),
    "transformer": transformer,
}


SENTENCES = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 0, 0], [3, 0, 0, 0, 0], [11, 5, 5, 8, 0]])
BACKWARD = [[7, 6, 5, 4, 3], [10, 9, 8], [3], [8, 5, 5, 11]]


@cache
def trained(name: str) -> tuple[Any, Any]:
    """A network that is still unsure how to say the sentences backward, and one that has learnt."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    targets = torch.zeros(4, 7, dtype=torch.int64)
    for row, words in zip(targets, BACKWARD, strict=True):
        row[: len(words) + 2] = torch.tensor([START, *words, END])
    rate = 0.005 if name == "transformer" else 0.02
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    unsure = network
    for step in range(80):
        if step == (20 if name == "transformer" else 40):
            unsure = deepcopy(network)
        logits = network(SENTENCES, SENTENCES != 0, targets[:, :-1])
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), targets[:, 1:], ignore_index=0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return unsure.double().eval(), network.double().eval()


class Forgetful(Translator):
    """Another translator without its `extend`."""

    def __init__(self, other: Translator) -> None:
        super().__init__()
        self.other = other

    def encode(self, source: Tensor, attend: Tensor) -> Any:
        return self.other.encode(source, attend)

    def decode(self, encoded: Any, target: Tensor) -> Tensor:
        return self.other.decode(encoded, target)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_decode_alike_with_and_without_memory(name: str) -> None:
    network, _ = trained(name)
    forgetful = Forgetful(network)
    assert isinstance(network, Extends) and not isinstance(forgetful, Extends)
    attend = SENTENCES != 0
    found = greedy(network, SENTENCES, attend, **IDS, longest=8)
    assert found == greedy(forgetful, SENTENCES, attend, **IDS, longest=8)
    for beams in (2, 4):
        args: dict[str, Any] = {**IDS, "longest": 8, "beams": beams, "alpha": 1.0}
        found = beam_search(network, SENTENCES, attend, **args)
        assert found == beam_search(forgetful, SENTENCES, attend, **args)
        for target, row in zip(found, SENTENCES, strict=True):
            alone = row[None, row != 0]
            assert beam_search(network, alone, alone != 0, **args) == [target]
    assert len({tuple(target) for target in found}) > 1


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_learn_sentences_and_say_them(name: str) -> None:
    _, network = trained(name)
    attend = SENTENCES != 0
    assert greedy(network, SENTENCES, attend, **IDS, longest=8) == BACKWARD
    assert beam_search(network, SENTENCES, attend, **IDS, longest=8) == BACKWARD


def test_searches_that_make_no_sense_are_refused() -> None:
    for wrong in ({"beams": 0}, {"alpha": -0.1}, {"alpha": math.nan}):
        with pytest.raises(UserError, match="1 beam or more and alpha of 0 or more"):
            beam_search(Table(4), SOURCES, SEEN, **IDS, longest=3, **wrong)
