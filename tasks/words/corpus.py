"""A text as sentences of numbered words.

Legend: V words of the vocabulary, N words of a text, S sentences.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import UserError
from tasks.data.texts import TextSet, load_text
from tasks.words.config import WordsConfig

LONGEST_SENTENCE = 1000
"""Longer ones are cut, as in the authors' program."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_PARAGRAPH_END = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class Sentences:
    """Known words only; sentences of fewer than two are left out."""

    words: np.ndarray
    """int32 [N]."""
    bounds: np.ndarray
    """Where sentences begin, and N, int64 [S + 1]."""


@dataclass(frozen=True)
class Corpus:
    """What vectors are learned from."""

    text: TextSet
    words: list[str]
    """The vocabulary, the most frequent first, equals by the alphabet."""
    counts: np.ndarray
    """int64 [V], in the training part."""
    train: Sentences
    validation: Sentences

    def identity(self) -> dict[str, Any]:
        """Digest of the data and size of the vocabulary."""
        return {"data": self.text.digest(), "vocabulary": len(self.words)}

    def describe(self) -> list[str]:
        """Sizes and licence."""
        return [
            f"{self.text.name}: {len(self.train.words):,} words of {len(self.words):,} known ones "
            f"in {len(self.train.bounds) - 1:,} sentences to learn from, "
            f"{len(self.validation.words):,} for validation; licence: {self.text.licence}"
        ]


def load_corpus(config: WordsConfig) -> Corpus:
    """Read the text that the options name.

    Raises:
        UserError: it is not here, damaged or unknown, or has too few words.
    """
    text = load_text(config.data)
    counted = Counter(word for sentence in _split(text.train, config.text) for word in sentence)
    common = [(word, n) for word, n in counted.items() if n >= config.minimum_count]
    common.sort(key=lambda pair: (-pair[1], pair[0]))
    if len(common) < 2:
        raise UserError(
            f"{text.name} has {len(common)} words that occur {config.minimum_count} times or more, "
            f"too few: lower --minimum-count, or use a longer text"
        )
    numbers = {word: place for place, (word, _) in enumerate(common)}
    train, validation = (
        _number(_split(part, config.text), numbers) for part in (text.train, text.validation)
    )
    for name, part in (("training", train), ("validation", validation)):
        if not len(part.words):
            raise UserError(
                f"the {name} part of {text.name} has no sentence of two known words: use a longer "
                f"text, one with more lines, or a lower --minimum-count"
            )
    counts = np.array([n for _, n in common], np.int64)
    return Corpus(text, [word for word, _ in common], counts, train, validation)


def _split(text: str, kind: str) -> Iterator[list[str]]:
    """The words of each sentence."""
    if kind == "lines":
        yield from (line.split() for line in text.splitlines())
    else:
        yield from (_WORD.findall(part) for part in _PARAGRAPH_END.split(text.lower()))


def _number(sentences: Iterator[list[str]], numbers: dict[str, int]) -> Sentences:
    words: list[int] = []
    bounds = [0]
    for sentence in sentences:
        known = [numbers[word] for word in sentence if word in numbers]
        for first in range(0, len(known), LONGEST_SENTENCE):
            piece = known[first : first + LONGEST_SENTENCE]
            if len(piece) > 1:
                words += piece
                bounds.append(len(words))
    return Sentences(np.array(words, np.int32), np.array(bounds, np.int64))
