"""Batches by hand, BLEU of a translator that copies, and sentences that are learned."""

from __future__ import annotations

import json
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
from networks.base import Translator
from tasks.data.pairs import Pairs
from tasks.options import TrainingConfig
from tasks.translate.bleu import bleu
from tasks.translate.config import TranslateConfig
from tasks.translate.task import NOT_SCORED, Translation, by_length

MakeTrainer = Callable[..., Trainer]


class Copy(Translator):
    """Says the source again."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def encode(self, source: Tensor, attend: Tensor) -> Tensor:
        """The source itself."""
        return source

    def decode(self, encoded: Tensor, target: Tensor) -> Tensor:
        """[B, T, V]"""
        places = torch.arange(target.shape[1]).clamp(max=encoded.shape[1] - 1)
        return 20.0 * F.one_hot(encoded[:, places], self.vocabulary).float()

    def attention_map(self, source: Tensor, attend: Tensor, target: Tensor) -> Tensor:
        """The diagonal, [B, T, S]."""
        return torch.eye(target.shape[1], source.shape[1]).expand(len(source), -1, -1)


@pytest.fixture
def config(pair_files: tuple[Path, Path]) -> TranslateConfig:
    """Small letters into capitals."""
    return TranslateConfig(
        data=str(pair_files[0]), data_target=str(pair_files[1]), vocabulary=300, longest=30
    )


def test_batches_are_padded_and_shifted_by_one(config: TranslateConfig) -> None:
    problem = Translation(config)
    examples = np.arange(7)
    batch = problem.batch(examples, np.random.default_rng(0))
    decode = problem.tokenizer.decode
    for row in range(7):
        source = batch["source"][row][batch["attend"][row]]
        assert source[-1] == problem.end
        assert decode(source[:-1]) == problem.data.train.source[row]
        following = batch["next"][row][batch["next"][row] != NOT_SCORED]
        target = batch["target"][row][: len(following)]
        assert target[0] == problem.start and following[-1] == problem.end
        np.testing.assert_array_equal(target[1:], following[:-1])
        assert decode(following[:-1]) == problem.data.train.target[row]
        assert (batch["target"][row][len(following) :] == problem.pad).all()
        assert (batch["source"][row][len(source) :] == problem.pad).all()
    assert batch["target"].shape == batch["next"].shape


def test_padding_does_not_count(config: TranslateConfig) -> None:
    problem = Translation(config)
    network = Copy(problem.vocabulary)
    random = np.random.default_rng(0)
    losses, tokens = [], []
    for examples in (np.array([0]), np.array([1]), np.array([0, 1])):
        batch = problem.batch(examples, random)
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        losses.append(float(problem.loss(network, tensors)[0]))
        tokens.append((batch["next"] != NOT_SCORED).sum())
    together = (losses[0] * tokens[0] + losses[1] * tokens[1]) / tokens[2]
    assert losses[2] == pytest.approx(together, rel=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_translator_that_copies(
    config: TranslateConfig, pair_files: tuple[Path, Path], beams: int
) -> None:
    same = replace(config, data_target=str(pair_files[0]), beams=beams)
    problem = Translation(same)
    scored = problem.test(Copy(problem.vocabulary), Arithmetic(), lambda: False)
    assert scored is not None and scored.scores["bleu"] == pytest.approx(100.0)
    assert "tok:13a" in scored.details["signature"]
    assert scored.pictures["attention"].ndim == 3
    json.dumps(scored.details)
    found = problem.validate(Copy(problem.vocabulary), Arithmetic(), lambda: False)
    assert found is not None and found.best_by == pytest.approx(100.0)
    assert set(problem.pictures({})) == {"validation/attention"}

    capitals = Translation(replace(config, beams=beams))
    scored = capitals.test(Copy(capitals.vocabulary), Arithmetic(), lambda: False)
    assert scored is not None and scored.scores["bleu"] < 20
    assert scored.details["samples"][0]["reference"] == capitals.data.test.target[0]
    assert capitals.test(Copy(capitals.vocabulary), Arithmetic(), lambda: True) is None


def test_translations_keep_the_order_of_the_sentences(config: TranslateConfig) -> None:
    problem = Translation(config)
    sentences = ["dog sat on the mat", "cat", "", "a very old tree", "the dog"] * 30
    found = problem.translate(Copy(problem.vocabulary), Arithmetic(), sentences, 1, lambda: False)
    assert found == sentences


def test_bleu_is_sacrebleus_own() -> None:
    translations = ["the cat sat on the mat", "a dog"]
    assert bleu(translations, translations).score == pytest.approx(100.0)
    # By hand: 5/6, 3/5, 2/4, 1/3 of the n-grams are there, lengths are equal.
    found = bleu(["the cat sat on the rug"], ["the cat sat by the rug"])
    assert found.score == pytest.approx(100 * (5 / 6 * 3 / 5 * 1 / 4 * (1 / 2) / 3) ** 0.25)


def test_long_sentences_are_left_out_of_training(config: TranslateConfig) -> None:
    everything, short = Translation(config), Translation(replace(config, longest=6))
    assert 0 < short.num_examples < everything.num_examples
    assert all(len(words) <= 6 for words in [*short.train.source, *short.train.target])
    with pytest.raises(UserError, match="at most 1 tokens on both sides; raise --longest"):
        Translation(replace(config, longest=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": 100}, "--vocabulary must be at least 256"),
        ({"beams": 0}, "--beams must be at least 1"),
        ({"alpha": -1.0}, "--alpha must be at least 0"),
        ({"source_ending": "../de"}, "--source-ending must be the ending"),
    ],
)
def test_options_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(replace(TranslateConfig(), **changes))


def test_capitals_are_learned(make_trainer: MakeTrainer, config: TranslateConfig) -> None:
    """Each word has a translation of its own; the order stays."""
    config = replace(
        config,
        vocabulary=340,
        network_options="width=32 layers=1 heads=2 feed_forward=64 dropout=0.0",
        training=TrainingConfig(batch_size=16, epochs=25.0, learning_rate=5e-3),
    )
    trainer = make_trainer("translate", config, evaluate_every=0)
    trainer.run()
    found = trainer.task.evaluate(0, 0, lambda: False)
    assert found is not None and found.best_by > 60
    assert "validation/attention" in trainer.agent.metrics().images


def test_short_and_long_sentences_apart() -> None:
    sources = [
        "one two three",
        "a b c d e f g",
        "a b c d e f g h",
        " ".join("abcdefghijklmnopqrst"),
    ]
    pairs = Pairs(sources, [source.upper() for source in sources])
    wrong = [*pairs.target[:2], "nothing of it at all", pairs.target[3]]
    groups = by_length(pairs, wrong)
    assert [(g["words"], g["sentences"]) for g in groups] == [
        ("0 to 7", 2), ("8 to 10", 1), ("18 or more", 1)
    ]  # fmt: skip
    assert [round(g["bleu"]) for g in groups] == [100, 0, 100]
