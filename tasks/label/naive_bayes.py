"""What counting words says of a text's class: the yardstick of a network that reads it.

Manning, Raghavan & Schuetze 2008, Introduction to information retrieval, section 13.2: multinomial
naive Bayes, with one added to every count. Words are runs of letters and digits in small letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

WORDS = re.compile(r"\w+")


class NaiveBayes:
    """Logarithms of how often a class has each word.

    Legend: N texts, K classes, W words known.
    """

    def __init__(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> None:
        """Count the words of texts with their labels, int64 [N]."""
        words = [WORDS.findall(text.lower()) for text in texts]
        self._numbers = {
            word: number for number, word in enumerate(dict.fromkeys(w for ws in words for w in ws))
        }
        counts = np.ones((classes, len(self._numbers)))  # [K, W]
        for found, label in zip(words, labels, strict=True):
            np.add.at(counts[label], [self._numbers[word] for word in found], 1)
        self._log_words = np.log(counts / counts.sum(axis=1, keepdims=True))
        with np.errstate(divide="ignore"):  # a class without a text is never told
            self._log_prior = np.log(np.bincount(labels, minlength=classes) / len(labels))

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """The likeliest class of each text, int64 [N]; unknown words say nothing."""
        found = np.empty(len(texts), np.int64)
        for row, text in enumerate(texts):
            numbers = (self._numbers.get(word) for word in WORDS.findall(text.lower()))
            known = [number for number in numbers if number is not None]
            found[row] = (self._log_prior + self._log_words[:, known].sum(axis=1)).argmax()
        return found
