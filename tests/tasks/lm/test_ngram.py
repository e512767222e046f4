"""Kneser-Ney n-grams against the formula written out with dictionaries."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.lm.ngram import LARGEST_DISCOUNT, SMALLEST_DISCOUNT, KneserNey


class SlowKneserNey:
    """Chen & Goodman 1999, equation 16 and the counts below it, literally."""

    def __init__(self, tokens: list[int], vocabulary: int, order: int) -> None:
        self.vocabulary = vocabulary
        self.tables: list[Counter[tuple[int, ...]]] = []
        for n in range(1, order + 1):
            grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
            longer = {tuple(tokens[i : i + n + 1]) for i in range(len(tokens) - n)}
            self.tables.append(Counter(grams if n == order else [gram[1:] for gram in longer]))

    def discount(self, n: int) -> float:
        """n1 / (n1 + 2 n2), within limits."""
        counts = list(self.tables[n - 1].values())
        once, twice = counts.count(1), counts.count(2)
        exact = once / max(1, once + 2 * twice)
        return min(LARGEST_DISCOUNT, max(SMALLEST_DISCOUNT, exact))

    def probability(self, token: int, history: tuple[int, ...]) -> float:
        """P(token | history)"""
        lower = self.probability(token, history[1:]) if history else 1 / self.vocabulary
        table = self.tables[len(history)]
        followers = {gram[-1]: c for gram, c in table.items() if gram[:-1] == history}
        total = sum(followers.values())
        if total == 0:
            return lower
        discount = self.discount(len(history) + 1)
        kept = max(followers.get(token, 0) - discount, 0)
        return kept / total + discount * len(followers) / total * lower


@settings(max_examples=60)
@given(
    vocabulary=st.integers(2, 6),
    order=st.integers(1, 5),
    length=st.integers(5, 120),
    seed=st.integers(0, 10**6),
)
def test_probabilities_equal_the_formula(
    vocabulary: int, order: int, length: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    train, test = (random.integers(0, vocabulary, n) for n in (length, 25))
    fast = KneserNey(train, vocabulary, order).probabilities(test)
    slow = SlowKneserNey(train.tolist(), vocabulary, order)
    expected = [
        slow.probability(int(token), tuple(test[max(0, t - order + 1) : t].tolist()))
        for t, token in enumerate(test)
    ]
    np.testing.assert_allclose(fast, expected, rtol=1e-12)


def test_probabilities_of_all_tokens_sum_to_one() -> None:
    train = np.random.default_rng(0).integers(0, 4, 80)
    model = KneserNey(train, 5, 3)  # token 4 is never seen
    for history in product(range(5), repeat=2):
        last = [model.probabilities(np.array([*history, token]))[-1] for token in range(5)]
        assert sum(last) == pytest.approx(1.0) and min(last) > 0


def test_a_text_that_repeats_itself_has_no_surprise() -> None:
    tokens = np.tile(np.arange(7), 200)
    assert KneserNey(tokens, 7, 3).perplexity(tokens) < 1.05
    noise = np.random.default_rng(0).integers(0, 7, 4000)
    assert 6.9 < KneserNey(noise[:3000], 7, 3).perplexity(noise[3000:]) < 7.6


def test_large_vocabularies_do_not_overflow() -> None:
    """Five tokens of 50,000 are a number beyond 64 bits."""
    train = np.random.default_rng(0).integers(49_000, 50_000, 5000)
    model = KneserNey(train, 50_000, 5)
    probabilities = model.probabilities(train[:200])
    assert (probabilities[5:] > 0.04).all()  # each 5-gram occurs once, all but D of it is sure
    assert (probabilities <= 1).all()


def test_texts_shorter_than_the_order() -> None:
    model = KneserNey(np.arange(5), 5, 5)
    assert len(model.probabilities(np.array([1]))) == 1
    assert len(model.probabilities(np.array([1, 2]))) == 2
