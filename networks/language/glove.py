"""GloVe: vectors of words from how often they stand near each other.

Paper: Pennington, Socher & Manning 2014, GloVe: Global vectors for word representation, EMNLP. X_ij
sums 1/distance over all places where words i and j are at most a window apart, and

    J = 1/2 sum over X_ij > 0 of f(X_ij) (w_i.v_j + b_i + c_j - log X_ij)^2     (equation 8)
    f(x) = min(1, (x / 100)^0.75)                                          (equation 9)

is made small by AdaGrad (Duchi et al. 2011), one cell at a time in random order. A word's vector is
w + v. As in the authors' program there is the factor 1/2, all numbers start uniform in plus and
minus 0.5 / D, sums of squared gradients start at 1, and the gradient of a cell is added to them
after the step.

Counting needs the memory of the cells that there are, twice at most, however long the text is: it
is counted in pieces, whose sorted cells are merged like the digits of a growing number.

Legend: V words, D features, N words of a text, S sentences, C cells of X that are not 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import UserError
from core.machine.kernels import kernel, kernel_of_sums
from networks.base import WordModel

LARGEST_COUNT, POWER = 100.0, 0.75
PAIRS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class GloVeConfig:
    """Sizes of the model."""

    vocabulary: int = 100_000
    """V, words that have a vector."""
    width: int = 100
    """D, features of a vector."""


PRESETS = {"glove": GloVeConfig()}


class GloVe(WordModel):
    """Vectors of words and of contexts, and a number for each of both.

    Raises:
        UserError: fewer than two words.
    """

    def __init__(self, config: GloVeConfig) -> None:
        super().__init__()
        words, width = config.vocabulary, config.width
        if words < 2:
            raise UserError("word vectors need two different words or more")
        self.vectors = nn.Parameter(torch.empty(words, width))
        self.contexts = nn.Parameter(torch.empty(words, width))
        self.biases = nn.Parameter(torch.empty(words))
        self.context_biases = nn.Parameter(torch.empty(words))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5 / width, 0.5 / width)

    def word_vectors(self) -> Tensor:
        """w + v of all words, float32 [V, D]."""
        return (self.vectors + self.contexts).detach()


def build(config: GloVeConfig) -> nn.Module:
    """The model of a config. Raises UserError for one that cannot be."""
    return GloVe(config)


# ---------------------------------------------------------------- counting


class Cells(NamedTuple):
    """The cells of X that are not 0, by rows and columns."""

    rows: np.ndarray
    """int32 [C]."""
    columns: np.ndarray
    """int32 [C]."""
    counts: np.ndarray
    """float64 [C]."""


Run = tuple[np.ndarray, np.ndarray]
"""Sorted numbers of cells, int64, and their counts, float64."""


def count_pairs(
    words: np.ndarray, bounds: np.ndarray, vocabulary: int, window: int,
    pairs_at_once: int = PAIRS_AT_ONCE,
) -> Cells:  # fmt: skip
    """X of a text.

    Args:
        words: the text, int32 [N].
        bounds: where sentences begin, and N, int64 [S + 1].
        vocabulary: V.
        window: words on each side that count.
        pairs_at_once: of a piece.
    """
    longest = int(np.diff(bounds).max(initial=0))
    room = max(pairs_at_once, 2 * window * longest)
    keys, weights = np.empty(room, np.int64), np.empty(room)
    runs: list[Run] = []
    sentence = 0
    while sentence < len(bounds) - 1:
        sentence, count = _list_pairs(words, bounds, sentence, vocabulary, window, keys, weights)
        runs.append(_summed(keys[:count], weights[:count]))
        while len(runs) > 1 and len(runs[-2][0]) <= 2 * len(runs[-1][0]):
            runs.append(_merged(runs.pop(), runs.pop()))
    while len(runs) > 1:
        runs.append(_merged(runs.pop(), runs.pop()))
    cells, counts = runs[0] if runs else (keys[:0], weights[:0])
    rows, columns = np.divmod(cells, vocabulary)
    return Cells(rows.astype(np.int32), columns.astype(np.int32), counts)


@kernel
def _list_pairs(
    words: np.ndarray, bounds: np.ndarray, sentence: int, vocabulary: int, window: int,
    keys: np.ndarray, weights: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """Pairs of whole sentences until there is no room for one; the next sentence, and how many."""
    count = 0
    while sentence < len(bounds) - 1:
        first, last = bounds[sentence], bounds[sentence + 1]
        if count + 2 * window * (last - first) > len(keys):
            break
        for place in range(first, last):
            for other in range(max(first, place - window), place):
                weight = 1.0 / (place - other)
                keys[count] = np.int64(words[place]) * vocabulary + words[other]
                keys[count + 1] = np.int64(words[other]) * vocabulary + words[place]
                weights[count] = weight
                weights[count + 1] = weight
                count += 2
        sentence += 1
    return sentence, count


def _summed(keys: np.ndarray, weights: np.ndarray) -> Run:
    order = np.argsort(keys, kind="stable")  # of sorted runs in a row: merges them
    keys, weights = keys[order], weights[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    sums = np.add.reduceat(weights, first) if len(first) else weights[:0]
    return keys[first], sums


def _merged(a: Run, b: Run) -> Run:
    return _summed(np.concatenate((a[0], b[0])), np.concatenate((a[1], b[1])))


# ---------------------------------------------------------------- learning


class Arrays(NamedTuple):
    """The model's numbers, or AdaGrad's sums of their squared gradients, float32."""

    vectors: np.ndarray
    contexts: np.ndarray
    biases: np.ndarray
    context_biases: np.ndarray


@kernel_of_sums
def _dot(a: np.ndarray, i: int, b: np.ndarray, j: int) -> np.float32:
    total = np.float32(0)
    for d in range(a.shape[1]):
        total += a[i, d] * b[j, d]
    return total


@kernel
def learn_cells(
    model: Arrays, squares: Arrays, cells: Cells, order: np.ndarray, first: int, last: int,
    rate: float,
) -> float:  # fmt: skip
    """Learn the cells order[first] to order[last - 1], one after the other.

    Args:
        model: learned in place.
        squares: added to.
        order: numbers of cells, int64 [C].
        rate: AdaGrad's; 0 only measures the loss.

    Returns:
        The sum of 1/2 f(X_ij) (w_i.v_j + b_i + c_j - log X_ij)^2 before each step.
    """
    loss = 0.0
    step = np.float32(rate)
    for place in range(first, last):
        cell = order[place]
        i, j, count = cells.rows[cell], cells.columns[cell], cells.counts[cell]
        weight = min(1.0, (count / LARGEST_COUNT) ** POWER)
        error = _dot(model.vectors, i, model.contexts, j)
        error += model.biases[i] + model.context_biases[j] - np.log(count)
        loss += 0.5 * weight * error * error
        if rate == 0:
            continue
        slope = np.float32(weight * error)
        for d in range(model.vectors.shape[1]):
            down = slope * model.contexts[j, d]
            context_down = slope * model.vectors[i, d]
            model.vectors[i, d] -= step * down / np.sqrt(squares.vectors[i, d])
            model.contexts[j, d] -= step * context_down / np.sqrt(squares.contexts[j, d])
            squares.vectors[i, d] += down * down
            squares.contexts[j, d] += context_down * context_down
        model.biases[i] -= step * slope / np.sqrt(squares.biases[i])
        model.context_biases[j] -= step * slope / np.sqrt(squares.context_biases[j])
        squares.biases[i] += slope * slope
        squares.context_biases[j] += slope * slope
    return loss
