"""Yardsticks by hand, accuracy of a known network, and what is hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.learner import Arithmetic
from core.trainer import Trainer
from networks.base import MaskedLanguageModel
from networks.language.xlnet import XLNet
from tasks.mlm.baselines import bigram_guesses, unigram_guess
from tasks.mlm.config import MaskedConfig
from tasks.mlm.task import MaskedLanguageModelling
from tasks.options import TrainingConfig

MakeTrainer = Callable[..., Trainer]


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60))
def test_bigrams_guess_the_commonest_follower(text: list[int]) -> None:
    train = np.array(text)
    pairs = Counter(zip(text, text[1:], strict=False))
    guesses = bigram_guesses(train, np.arange(5), 5)
    for left, guess in enumerate(guesses):
        followers = {b: count for (a, b), count in pairs.items() if a == left}
        if followers:
            assert followers[int(guess)] == max(followers.values())
        else:
            assert guess == unigram_guess(train)
    assert text.count(unigram_guess(train)) == max(Counter(text).values())


class Constant(MaskedLanguageModel):
    """Always the same guess, and a note of what it was shown."""

    context_length = 16

    def __init__(self, vocabulary: int, guess: int) -> None:
        super().__init__()
        self.row = torch.full((vocabulary,), -5.0)
        self.row[guess] = 5.0
        self.shown: list[Tensor] = []

    def forward(self, tokens: Tensor, attend: Tensor | None = None) -> Tensor:
        """[B, T, V]"""
        self.shown.append(tokens)
        return self.row.expand(*tokens.shape, -1)


@pytest.fixture
def problem(text_file: Path) -> MaskedLanguageModelling:
    """Characters in windows of 16."""
    return MaskedLanguageModelling(
        MaskedConfig(data=str(text_file), tokenizer="characters", context_length=16, hidden=0.25)
    )


def test_the_commonest_token_scores_as_the_yardstick_says(
    problem: MaskedLanguageModelling,
) -> None:
    guess = unigram_guess(problem.data.train)
    network = Constant(problem.mask + 1, guess)
    scored = problem.test(network, Arithmetic(), lambda: False)
    assert scored is not None
    scores = scored.scores
    assert scores["masked_accuracy"] == scores["unigram_accuracy"]
    space = (problem.data.test == guess).mean()
    assert scores["masked_accuracy"] == pytest.approx(space, abs=4 * scores["standard_error"])
    assert scores["bigram_accuracy"] > scores["unigram_accuracy"]
    shown = torch.cat([tokens.flatten() for tokens in network.shown[:-1]])
    assert (shown == problem.mask).float().mean() == pytest.approx(0.25, abs=0.01)
    again = problem.test(network, Arithmetic(), lambda: False)
    assert again is not None and again.scores == scores
    assert problem.test(network, Arithmetic(), lambda: True) is None
    assert all("[ |" in line for line in scored.details["examples"])


def test_only_chosen_tokens_are_changed_and_scored(problem: MaskedLanguageModelling) -> None:
    random = np.random.default_rng(0)
    batch = problem.batch(np.arange(problem.num_examples), random)
    seen, tokens, chosen = batch["seen"], batch["tokens"], batch["chosen"]
    assert (seen == tokens)[~chosen].all()
    shares = [(seen == problem.mask)[chosen].mean(), (seen == tokens)[chosen].mean()]
    assert shares == pytest.approx([0.8, 0.1 + 0.1 / problem.mask], abs=0.04)
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    guess = int(unigram_guess(problem.data.train))
    loss, metrics = problem.loss(Constant(problem.mask + 1, guess), tensors)
    right = (tokens[chosen] == guess).mean()
    assert float(metrics["masked_accuracy"]) == pytest.approx(right)
    log_probability = torch.full((problem.mask + 1,), -5.0)
    log_probability[guess] = 5.0
    sure, other = -log_probability.log_softmax(0)[[guess, guess - 1]]
    assert float(loss) == pytest.approx(float(right * sure + (1 - right) * other), rel=1e-5)


def test_a_network_may_learn_hidden_tokens_from_each_other(
    problem: MaskedLanguageModelling,
) -> None:
    batch = problem.batch(np.arange(4), np.random.default_rng(0))
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    config = replace(
        problem.config, network="xlnet_tiny", network_options="width=16 layers=2 heads=2"
    )
    network = MaskedLanguageModelling(config).build_network()
    assert isinstance(network, XLNet)
    torch.manual_seed(3)
    loss, _ = problem.loss(network, tensors)
    torch.manual_seed(3)
    chosen = tensors["chosen"]
    logits = network.logits_of_hidden(tensors["seen"], tensors["tokens"], chosen)
    torch.testing.assert_close(loss, F.cross_entropy(logits, tensors["tokens"][chosen]))
    masked = network(tensors["tokens"].masked_fill(chosen, problem.mask))[chosen]
    assert (logits - masked).abs().max() > 1e-4, "tokens that come first must be seen"


def test_hidden_letters_of_the_alphabet_are_told(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    """Pieces of the alphabet from anywhere on: each neighbour gives a letter away."""
    starts = np.random.default_rng(0).integers(0, 26, 600)
    letters = (starts[:, None] + np.arange(32)) % 26 + ord("a")
    path = tmp_path / "alphabet.txt"
    path.write_text("".join(map(chr, letters.ravel())))
    config = MaskedConfig(
        data=str(path),
        network_options="width=32 layers=1 heads=2 dropout=0.0",
        tokenizer="characters",
        context_length=16,
        training=TrainingConfig(batch_size=16, epochs=8.0, learning_rate=4e-3),
    )
    trainer = make_trainer("mlm", config, evaluate_every=0)
    trainer.run()
    found = trainer.task.evaluate(0, 0, lambda: False)
    assert found is not None and found.best_by > 0.4  # chance is 0.04
