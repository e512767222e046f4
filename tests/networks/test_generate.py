"""Writing, token by token: what is left to choose from, and what the model is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import UserError
from networks.base import LanguageModel
from networks.language import gpt, gpt2
from networks.language.generate import GREEDY, Sampling, choose, generate, limit
from networks.language.gpt import GPT, GPTConfig
from networks.language.lstm import LSTMConfig, LSTMLanguageModel
from tests.networks.reference import torchvision_models

SMALL = GPTConfig(vocabulary=13, context_length=8, width=16, layers=2, heads=2)
PROMPT = torch.tensor([[1, 2, 3], [7, 0, 12]])


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def model(name: str) -> LanguageModel:
    """A small model that says more than its last token again, as tied outputs like to."""
    torch.manual_seed(0)
    made = {
        "gpt": lambda: gpt.build(SMALL),
        "gpt2": lambda: gpt2.build(SMALL),
        "lstm": lambda: LSTMLanguageModel(LSTMConfig(vocabulary=13, width=16)),
    }[name]()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.6 * torch.randn_like(parameter))
        if isinstance(made, GPT):
            made.embedding.weight.mul_(0.3)
    assert isinstance(made, LanguageModel)
    return made.eval()


class Scripted(LanguageModel):
    """Says the sum of its window; keeps a record of what it is asked, and a state if told to."""

    def __init__(self, context_length: int | None, remembers: bool) -> None:
        super().__init__()
        self.context_length = context_length
        self.remembers = remembers
        self.asked: list[list[int]] = []

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The next token is the sum of all tokens read, modulo 10."""
        self.asked.append(tokens[0].tolist())
        total = tokens.cumsum(dim=1) + (0 if state is None else state)
        logits = torch.nn.functional.one_hot(total % 10, 10).float()
        return logits, total[:, -1:] if self.remembers else None


LOGITS = 2 * torch.randn(6, 40, generator=seeded(5))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.7),
        Sampling(top_k=5),
        Sampling(top_k=100),
        Sampling(top_p=0.6),
        Sampling(top_p=1e-6),
        Sampling(temperature=1.7, top_k=12, top_p=0.8),
    ],
)
def test_limits_are_those_of_transformers(sampling: Sampling) -> None:
    torchvision_models()  # which transformers imports
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    expected = TemperatureLogitsWarper(sampling.temperature)(None, LOGITS)
    if sampling.top_k is not None:
        expected = TopKLogitsWarper(sampling.top_k)(None, expected)
    if sampling.top_p < 1:
        expected = TopPLogitsWarper(sampling.top_p)(None, expected)
    assert torch.equal(limit(LOGITS, sampling), expected)


def test_tokens_are_as_frequent_as_they_are_probable() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    sampling = Sampling(temperature=2.0, top_k=3)
    drawn = choose(logits.expand(20_000, 4), sampling, seeded())
    expected = torch.tensor([0.0, 0.5, 1.0, 1.5]).exp()
    expected[0] = 0
    expected /= expected.sum()
    shares = torch.bincount(drawn, minlength=4) / 20_000
    assert ((shares - expected).abs() <= 4 * (expected * (1 - expected) / 20_000).sqrt()).all()


def test_what_leaves_one_token_is_greedy() -> None:
    greedy = LOGITS.argmax(dim=1)
    for sampling in (GREEDY, Sampling(top_k=1), Sampling(top_p=1e-6), Sampling(temperature=1e-3)):
        assert torch.equal(choose(LOGITS, sampling, seeded()), greedy)


def test_half_precision_logits_are_sampled_in_single() -> None:
    logits = LOGITS.to(torch.bfloat16).repeat(500, 1)
    expected = choose(logits.float(), Sampling(top_p=0.9), seeded())
    assert torch.equal(choose(logits, Sampling(top_p=0.9), seeded()), expected)


@pytest.mark.parametrize("name", ["gpt", "gpt2", "lstm"])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=0.9, top_k=6, top_p=0.9)])
def test_a_kept_state_changes_nothing(name: str, sampling: Sampling) -> None:
    written = generate(model(name), PROMPT, 20, sampling, seeded())  # beyond a context of 8
    again = generate(model(name), PROMPT, 20, sampling, seeded(), keep_state=False)
    assert torch.equal(written, again)
    assert torch.equal(written[:, :3], PROMPT)
    assert len(written[0].unique()) > 3


@pytest.mark.parametrize("name", ["gpt2", "lstm"])
def test_a_seed_decides(name: str) -> None:
    texts = [generate(model(name), PROMPT, 12, Sampling(), seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[0], texts[2])
    torch.manual_seed(4)
    first = generate(model(name), PROMPT, 12, Sampling())
    assert first.shape == (2, 15)


def test_rows_do_not_depend_on_each_other() -> None:
    together = generate(model("gpt2"), PROMPT, 10)
    for row in (0, 1):
        alone = generate(model("gpt2"), PROMPT[row : row + 1], 10)
        assert torch.equal(alone[0], together[row])


def test_a_state_costs_one_token_a_step() -> None:
    scripted = Scripted(None, remembers=True)
    written = generate(scripted, torch.tensor([[1, 2]]), 4)
    assert written.tolist() == [[1, 2, 3, 6, 2, 4]]
    assert scripted.asked == [[1, 2], [3], [6], [2]]


def test_without_a_state_everything_is_read_again() -> None:
    scripted = Scripted(None, remembers=False)
    written = generate(scripted, torch.tensor([[1, 2]]), 4)
    assert written.tolist() == [[1, 2, 3, 6, 2, 4]]
    assert scripted.asked == [[1, 2], [1, 2, 3], [1, 2, 3, 6], [1, 2, 3, 6, 2]]


@pytest.mark.parametrize("remembers", [True, False])
def test_a_full_window_goes_on_from_its_newer_half(remembers: bool) -> None:
    scripted = Scripted(4, remembers)
    written = generate(scripted, torch.tensor([[1, 1]]), 6)
    # 1+1 = 2, 1+1+2 = 4, 1+1+2+4 = 8; full: 4+8 = 2, 4+8+2 = 4, 4+8+2+4 = 8
    assert written.tolist() == [[1, 1, 2, 4, 8, 2, 4, 8]]
    expected = {
        True: [[1, 1], [2], [4], [4, 8], [2], [4]],
        False: [[1, 1], [1, 1, 2], [1, 1, 2, 4], [4, 8], [4, 8, 2], [4, 8, 2, 4]],
    }
    assert scripted.asked == expected[remembers]


def test_of_a_long_prompt_the_end_is_read() -> None:
    scripted = Scripted(3, remembers=True)
    written = generate(scripted, torch.tensor([[9, 9, 1, 2, 3]]), 2)
    assert scripted.asked == [[1, 2, 3], [6]]
    assert written.tolist() == [[9, 9, 1, 2, 3, 6, 6]]
    shortest = Scripted(1, remembers=True)
    generate(shortest, torch.tensor([[4, 5]]), 3)
    assert shortest.asked == [[5], [5], [5]]


def test_nothing_to_write() -> None:
    assert torch.equal(generate(model("gpt2"), PROMPT, 0), PROMPT)


def test_what_cannot_be_is_refused() -> None:
    for field, value in (
        ("temperature", -1.0),
        ("temperature", float("nan")),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.5),
    ):
        with pytest.raises(UserError, match=field):
            replace(GREEDY, **{field: value})
    with pytest.raises(UserError, match="prompt of 1 token or more"):
        generate(model("gpt2"), PROMPT[:, :0], 1)
    with pytest.raises(UserError, match="got 3 and -1"):
        generate(model("gpt2"), PROMPT, -1)
