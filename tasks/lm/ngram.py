"""The yardstick of language models: n-grams with interpolated Kneser-Ney smoothing.

Papers: Kneser & Ney 1995, Improved backing-off for m-gram language modeling; the interpolated form
is from Chen & Goodman 1999, An empirical study of smoothing techniques for language modeling,
section 3. For a history h of n - 1 tokens, h' without its first:

    P(w | h) = max(c(h w) - D, 0) / c(h) + D N(h) / c(h) P(w | h')

where c(h) sums c(h w) over w, N(h) counts the w with c(h w) > 0, and D = n1 / (n1 + 2 n2) from the
numbers of n-grams with counts 1 and 2. In the longest n-grams c counts occurrences; in shorter ones
it counts the different tokens that precede them. An unknown history leaves it to P(w | h'); at the
end stands the uniform distribution.

An n-gram is numbered by its place among all of its length, sorted by (number of its first n - 1
tokens, last token), so that tables are sorted arrays of integers however large the vocabulary is.

Legend: N tokens, V vocabulary, G different n-grams of one length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST_DISCOUNT, LARGEST_DISCOUNT = 0.05, 0.95
"""The formula gives 0 where no n-gram has a count of 1, and then nothing is left for what was never
seen; it gives 1 where none has a count of 2, and then nothing is left for those of count 1."""


@dataclass(frozen=True)
class _Table:
    """All n-grams of one length."""

    codes: np.ndarray
    """Number of the first n - 1 tokens times V plus the last one, sorted, int64 [G]."""
    counts: np.ndarray
    """c(h w), int64 [G]."""
    totals: np.ndarray
    """c(h) for each (n - 1)-gram, int64."""
    followers: np.ndarray
    """N(h) for each (n - 1)-gram, int64."""
    discount: float


class KneserNey:
    """A model of n-grams up to some length."""

    def __init__(self, tokens: np.ndarray, vocabulary: int, order: int = 5) -> None:
        """Count n-grams.

        Args:
            tokens: int64 [N], 0 to V - 1, N at least `order`.
            vocabulary: V.
            order: length of the longest n-grams.
        """
        self.vocabulary = vocabulary
        self.order = order
        self._tables: list[_Table] = []
        numbers = np.zeros(len(tokens) + 1, np.int64)  # of the 0-gram that starts at each place
        shorter: tuple[np.ndarray, int] | None = None
        for length in range(1, order + 1):
            histories = int(numbers.max()) + 1
            keys = self._codes(numbers, tokens, length)
            codes, first, found, occurrences = np.unique(
                keys, return_index=True, return_inverse=True, return_counts=True
            )
            if shorter is not None:
                # Where an n-gram first occurs, its last n - 1 tokens start one place further.
                preceded = np.bincount(numbers[first + 1], minlength=len(shorter[0]))
                self._tables.append(_table(shorter[0], preceded, vocabulary, shorter[1]))
            numbers, shorter = found.ravel(), (codes, histories)
        self._tables.append(_table(codes, occurrences, vocabulary, histories))

    def _codes(self, numbers: np.ndarray, tokens: np.ndarray, length: int) -> np.ndarray:
        """Codes of the n-grams of a text by where they start; `numbers` are those of the
        (n - 1)-grams, -1 for an unknown one, which gives a negative code."""
        codes: np.ndarray = numbers[:-1] * self.vocabulary + tokens[length - 1 :]
        return codes

    def probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """P of each token given those before it, float64 [N]; the first have short histories."""
        probability = np.full(len(tokens), 1 / self.vocabulary)
        numbers = np.zeros(len(tokens) + 1, np.int64)
        for length, table in enumerate(self._tables[: len(tokens)], start=1):
            history = numbers[:-1]
            codes = self._codes(numbers, tokens, length)
            places = np.minimum(np.searchsorted(table.codes, codes), len(table.codes) - 1)
            numbers = np.where((table.codes[places] == codes) & (history >= 0), places, -1)
            total = np.where(history >= 0, table.totals[history], 0)
            known = total > 0
            count = np.where(numbers >= 0, table.counts[places], 0)[known]
            followers = table.followers[history[known]]
            backed_off = probability[length - 1 :]  # a view: P(w | h') becomes P(w | h)
            backed_off[known] = (
                np.maximum(count - table.discount, 0)
                + table.discount * followers * backed_off[known]
            ) / total[known]
        return probability

    def perplexity(self, tokens: np.ndarray) -> float:
        """exp of the mean surprise of every token but the first, as language models are scored."""
        return float(np.exp(-np.log(self.probabilities(tokens)[1:]).mean()))


def _table(codes: np.ndarray, counts: np.ndarray, vocabulary: int, histories: int) -> _Table:
    history = codes // vocabulary
    once, twice = (int((counts == number).sum()) for number in (1, 2))
    return _Table(
        codes,
        counts,
        np.bincount(history, counts, minlength=histories).astype(np.int64),
        np.bincount(history, counts > 0, minlength=histories).astype(np.int64),
        min(LARGEST_DISCOUNT, max(SMALLEST_DISCOUNT, once / max(1, once + 2 * twice))),
    )
