"""Perplexity by hand, a text that can be learned, and what a test reports."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.config import check
from core.errors import UserError
from core.learner import Arithmetic
from core.trainer import Trainer
from networks.base import LanguageModel
from networks.language.elmo import Elmo
from tasks.lm.config import LanguageModelConfig
from tasks.lm.task import LanguageModelling
from tasks.options import TrainingConfig

MakeTrainer = Callable[..., Trainer]


class Fixed(LanguageModel):
    """The same logits for every next token."""

    context_length = None

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """[B, T, V]"""
        return self.logits.expand(*tokens.shape, -1), None


def test_a_window_in_segments_is_the_window_where_the_memory_is_long_enough(
    text_file: Path,
) -> None:
    config = LanguageModelConfig(
        data=str(text_file), context_length=40, network="transformer_xl_tiny",
        network_options="layers=2 width=32 memory_length=64",
    )  # fmt: skip
    problem = LanguageModelling(config)
    torch.manual_seed(0)
    network = problem.build_network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.2)
    batch = problem.batch(np.arange(3), np.random.default_rng(0))
    tokens = {"tokens": torch.from_numpy(batch["tokens"])}
    whole = problem.loss(network, tokens)[0]
    (gradient,) = torch.autograd.grad(whole, [network.embedding.weight])  # type: ignore[list-item]
    cut = LanguageModelling(replace(config, segment_length=16))  # 16, 16 and 8 tokens
    pieces = cut.loss(network, tokens)[0]
    (cut_gradient,) = torch.autograd.grad(pieces, [network.embedding.weight])  # type: ignore[list-item]
    torch.testing.assert_close(pieces, whole)
    assert (gradient - cut_gradient).abs().max() > 1e-6, "no gradient goes back into the memory"
    short = problem.build_network()
    short.load_state_dict(network.state_dict())
    short.config = replace(network.config, memory_length=0)  # type: ignore[assignment,type-var]
    assert (cut.loss(short, tokens)[0] - whole).abs() > 1e-4, "the memory must be handed on"


def test_perplexity_is_that_of_the_formula(text_file: Path) -> None:
    config = LanguageModelConfig(data=str(text_file), context_length=50, sample_tokens=20)
    problem = LanguageModelling(config)
    size = problem.data.tokenizer.size
    logits = torch.randn(size, generator=torch.Generator().manual_seed(0))
    scored = problem.test(Fixed(logits), Arithmetic(), lambda: False)
    assert scored is not None
    tokens = problem.data.test
    nats = -logits.log_softmax(dim=0)[torch.from_numpy(tokens[1:])].double().mean().item()
    assert scored.scores["perplexity"] == pytest.approx(math.exp(nats), rel=1e-5)
    bits = nats / math.log(2)
    assert scored.scores["bits_per_character"] == pytest.approx(bits, rel=1e-5)
    assert scored.scores["bits_per_byte"] == pytest.approx(bits, rel=1e-5)  # all ASCII
    assert 1 < scored.scores["ngram_perplexity"] < size
    assert len(scored.details["sample"]) == 20
    again = problem.test(Fixed(logits), Arithmetic(), lambda: False)
    assert again is not None and again.details == scored.details


def test_a_network_of_two_directions_learns_both(text_file: Path) -> None:
    config = LanguageModelConfig(
        data=str(text_file), tokenizer="bpe", vocabulary=280, context_length=12,
        network="elmo_tiny", network_options="cells=16 width=8",
    )  # fmt: skip
    problem = LanguageModelling(config)
    network = problem.build_network()
    assert isinstance(network, Elmo)
    batch = problem.batch(np.arange(3), np.random.default_rng(0))
    tokens = torch.from_numpy(batch["tokens"])
    ahead = F.cross_entropy(network(tokens[:, :-1])[0].flatten(0, 1), tokens[:, 1:].flatten())
    behind = network.logits_backwards(tokens[:, 1:])
    both = ahead + F.cross_entropy(behind.flatten(0, 1), tokens[:, :-1].flatten())
    torch.testing.assert_close(problem.loss(network, {"tokens": tokens})[0], both / 2)
    the = problem.data.tokenizer.spellings()
    assert network.table is not None and len(network.table) == len(the)
    assert network.table[-1, 1 : 1 + len(the[-1])].tolist() == list(the[-1])


def test_bits_do_not_depend_on_the_tokenizer(text_file: Path) -> None:
    """A uniform guess over V tokens costs log2 V bits for each token, few or many characters."""
    for kind in ("bytes", "bpe"):
        config = LanguageModelConfig(
            data=str(text_file), tokenizer=kind, vocabulary=300, context_length=20, sample_tokens=0
        )  # type: ignore[arg-type]
        problem = LanguageModelling(config)
        size = problem.data.tokenizer.size
        scored = problem.test(Fixed(torch.zeros(size)), Arithmetic(), lambda: False)
        assert scored is not None and "sample" not in scored.details
        text = problem.data.tokenizer.decode(problem.data.test[1:].tolist())
        expected = (len(problem.data.test) - 1) * math.log2(size) / len(text)
        assert scored.scores["bits_per_character"] == pytest.approx(expected, rel=1e-5)


def test_what_repeats_is_learned(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    """Every third letter is the one after the second in the alphabet; the others are chance."""
    random = np.random.default_rng(0)
    starts = random.integers(0, 26, (3000, 2))
    thirds = (starts[:, 1:] + 1) % 26
    letters = np.concatenate([starts, thirds], axis=1) + ord("a")
    path = tmp_path / "thirds.txt"
    path.write_text("".join(map(chr, letters.ravel())))
    config = LanguageModelConfig(
        data=str(path),
        network="lstm_small",
        network_options="width=64 layers=1",
        context_length=48,
        training=TrainingConfig(
            batch_size=8, epochs=14.0, learning_rate=0.02, max_gradient_norm=1.0
        ),
    )
    trainer = make_trainer("lm", config, evaluate_every=0)
    trainer.run()
    found = trainer.task.evaluate(0, 0, lambda: False)
    assert found is not None
    # Two letters of three are chance, the third is certain: 26^(2/3) = 8.8 at best.
    assert 8.0 < -found.best_by < 13.0
    assert found.scalars["validation/bits_per_character"] == pytest.approx(
        math.log2(-found.best_by), rel=1e-6
    )


def test_a_stop_is_obeyed(text_file: Path) -> None:
    problem = LanguageModelling(LanguageModelConfig(data=str(text_file), context_length=20))
    network = Fixed(torch.zeros(problem.data.tokenizer.size))
    assert problem.test(network, Arithmetic(), lambda: True) is None
    assert problem.validate(network, Arithmetic(), lambda: True) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": "bpe", "vocabulary": 99}, "--vocabulary must be 256"),
        ({"context_length": 0}, "--context-length must be at least 1"),
        ({"temperature": -0.5}, "--temperature must be at least 0"),
        ({"sample_tokens": -1}, "--sample-tokens must be at least 0"),
    ],
)
def test_options_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(replace(LanguageModelConfig(), **changes))


def test_n_grams_are_no_longer_than_the_text(text_file: Path) -> None:
    config = LanguageModelConfig(
        data=str(text_file), context_length=20, ngram_order=10_000_000, sample_tokens=0
    )
    problem = LanguageModelling(config)
    problem.data = replace(problem.data, train=problem.data.train[:30])
    network = Fixed(torch.zeros(problem.data.tokenizer.size))
    scored = problem.test(network, Arithmetic(), lambda: False)
    assert scored is not None and scored.details["ngram_order"] == 30


def test_a_network_that_is_sure_and_wrong_has_a_score(text_file: Path) -> None:
    problem = LanguageModelling(
        LanguageModelConfig(data=str(text_file), context_length=20, sample_tokens=0)
    )
    logits = torch.zeros(problem.data.tokenizer.size)
    logits[0] = 1e6
    scored = problem.test(Fixed(logits), Arithmetic(), lambda: False)
    assert scored is not None and scored.scores["perplexity"] == math.exp(100.0)
