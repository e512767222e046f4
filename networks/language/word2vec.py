"""word2vec: vectors of words from the words around them, by skip-gram or CBOW.

Papers: Mikolov et al. 2013, Efficient estimation of word representations in vector space, arXiv
1301.3781 (both models, hierarchical softmax); Mikolov et al. 2013, Distributed representations of
words and phrases and their compositionality, arXiv 1310.4546 (negative sampling, subsampling).

A centre word w with a window of 1 to `window` words on each side, drawn anew for every word:

    skipgram       each word around w foretells w: its vector is the hidden vector h
    cbow           all of them together do: h is the mean of their vectors
    negative       loss  -log s(h.o_w) - sum over k drawn words n of log s(-h.o_n)
    hierarchical   loss  -sum over the inner nodes on w's path of log s(+-h.o_node)

where s is the logistic function and o are vectors of the output. Noise words are drawn by their
counts to the power of 0.75. As in the authors' program, a noise word that is w itself is left out,
and word w stays in the text with probability (sqrt(f/t) + 1) t/f, where f is its share of the text
and t the threshold; the paper's formula is 1 - sqrt(t/f) for leaving it out.

Deviation: the authors' program (and gensim) give every vector of a CBOW window the whole gradient
of the mean; here each gets its share, which is the gradient of the loss (Irsoy et al. 2021, arXiv
2012.15332). So CBOW wants a higher learning rate.

Legend: V words, D features, N words of a text, S sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import UserError
from core.machine.kernels import kernel, kernel_of_sums
from core.machine.random_numbers import random_below, random_unit
from networks.base import WordModel
from networks.language.huffman import huffman_paths

OUTPUTS = ("negative", "hierarchical")
NOISE_POWER = 0.75
LARGEST_DRAW = 2**31 - 1
_GUIDE_BITS = 14
_GUIDE_SHIFT = 31 - _GUIDE_BITS


@dataclass(frozen=True)
class Word2VecConfig:
    """Sizes of the model."""

    vocabulary: int = 100_000
    """V, words that have a vector."""
    width: int = 100
    """D, features of a vector."""
    context: str = "skipgram"
    """skipgram or cbow."""
    output: str = "negative"
    """negative (sampling) or hierarchical (softmax)."""


PRESETS = {"skipgram": Word2VecConfig(), "cbow": Word2VecConfig(context="cbow")}


class Word2Vec(WordModel):
    """Vectors of words, and those of the output: of words, or of the inner nodes of a tree.

    Raises:
        UserError: there is no such output, or fewer than two words.
    """

    def __init__(self, config: Word2VecConfig) -> None:
        super().__init__()
        if config.output not in OUTPUTS:
            raise UserError(f"output must be one of {', '.join(OUTPUTS)}, got {config.output!r}")
        if config.vocabulary < 2:
            raise UserError("word vectors need two different words or more")
        rows = config.vocabulary - (config.output == "hierarchical")
        self.vectors = nn.Parameter(torch.empty(config.vocabulary, config.width))
        self.output = nn.Parameter(torch.zeros(rows, config.width))
        nn.init.uniform_(self.vectors, -0.5 / config.width, 0.5 / config.width)

    def word_vectors(self) -> Tensor:
        """The vectors of all words, float32 [V, D]."""
        return self.vectors.detach()


def build(config: Word2VecConfig) -> nn.Module:
    """The model of a config. Raises UserError for one that cannot be."""
    return Word2Vec(config)


# ---------------------------------------------------------------- what follows from the counts


def keep_rates(counts: np.ndarray, threshold: float) -> np.ndarray:
    """Probability with which a word stays in the text, float64 [V]; may be over 1.

    Args:
        counts: int64 [V].
        threshold: share of the text from which on words are thinned; 0 keeps all.
    """
    if threshold == 0:
        return np.ones(len(counts))
    frequency = counts / counts.sum() / threshold
    rates: np.ndarray = (np.sqrt(frequency) + 1) / frequency
    return rates


def noise_table(counts: np.ndarray) -> np.ndarray:
    """Sums of counts^0.75 up to each word, scaled to end at LARGEST_DRAW, int64 [V]."""
    sums = np.cumsum(counts.astype(np.float64) ** NOISE_POWER)
    table: np.ndarray = np.round(sums / sums[-1] * LARGEST_DRAW).astype(np.int64)
    return table


def noise_guide(table: np.ndarray) -> np.ndarray:
    """Where in a `noise_table` the draws that share their highest bits begin, int64 [2^14 + 1]."""
    draws = np.arange(2**_GUIDE_BITS + 1) << _GUIDE_SHIFT
    places = np.searchsorted(table, draws, side="right")
    guide: np.ndarray = np.minimum(places, len(table) - 1)
    return guide


class Tables(NamedTuple):
    """What the kernels look up."""

    keep: np.ndarray
    noise: np.ndarray
    guide: np.ndarray
    starts: np.ndarray
    nodes: np.ndarray
    turns: np.ndarray


def make_tables(counts: np.ndarray, threshold: float) -> Tables:
    """Of words with these counts, int64 [V], the most frequent first."""
    noise = noise_table(counts)
    return Tables(keep_rates(counts, threshold), noise, noise_guide(noise), *huffman_paths(counts))


class Settings(NamedTuple):
    """What the kernels go by."""

    cbow: bool
    hierarchical: bool
    window: int
    negatives: int
    loss_every: int
    """The loss is computed for one in so many centre words."""


# ---------------------------------------------------------------- kernels


class Scratch(NamedTuple):
    """Memory of one thread."""

    kept: np.ndarray
    """Words of a sentence that were kept, int32 [the longest]."""
    hidden: np.ndarray
    """h of CBOW, float32 [1, D]."""
    gradient: np.ndarray
    """Minus the gradient of h times the learning rate, float32 [1, D]."""


def make_scratch(longest: int, width: int) -> Scratch:
    """For sentences of up to so many words."""
    return Scratch(
        np.zeros(longest, np.int32),
        np.zeros((1, width), np.float32),
        np.zeros((1, width), np.float32),
    )


@kernel_of_sums
def _dot(a: np.ndarray, i: int, b: np.ndarray, j: int) -> np.float32:
    total = np.float32(0)
    for d in range(a.shape[1]):
        total += a[i, d] * b[j, d]
    return total


@kernel
def _add(a: np.ndarray, i: int, factor: np.float32, b: np.ndarray, j: int) -> None:
    """a[i] += factor * b[j]"""
    for d in range(a.shape[1]):
        a[i, d] += factor * b[j, d]


@kernel
def draw_noise(table: np.ndarray, guide: np.ndarray, rng: np.ndarray) -> int:
    """A word, by its share of `noise_table`; `guide` is the table's."""
    drawn = random_below(rng, LARGEST_DRAW)
    low: int = guide[drawn >> _GUIDE_SHIFT]
    high: int = guide[(drawn >> _GUIDE_SHIFT) + 1]
    while low < high:
        middle = (low + high) >> 1
        if table[middle] > drawn:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def _decide(
    hidden: np.ndarray, row: int, output: np.ndarray, unit: int, yes: bool, rate: float,
    gradient: np.ndarray, counted: bool,
) -> float:  # fmt: skip
    """Move an output vector towards saying yes or no to h, and add what h would gain; its loss."""
    score = _dot(hidden, row, output, unit)
    said = np.float32(1) / (np.float32(1) + np.exp(-score))
    step = np.float32(rate) * (np.float32(yes) - said)
    for d in range(hidden.shape[1]):
        before = output[unit, d]
        gradient[0, d] += step * before
        output[unit, d] = before + step * hidden[row, d]
    if not counted:
        return 0.0
    wrong = np.float64(-score if yes else score)
    loss: float = max(wrong, 0.0) + np.log1p(np.exp(-abs(wrong)))
    return loss


@kernel
def foretell(
    hidden: np.ndarray, row: int, output: np.ndarray, word: int, rate: float, gradient: np.ndarray,
    tables: Tables, settings: Settings, rng: np.ndarray, counted: bool,
) -> float:  # fmt: skip
    """One prediction of a word by h = hidden[row].

    Updates `output` and leaves minus the gradient of h, times the rate, in `gradient` [1, D].
    Returns the loss if it is counted, else 0.
    """
    gradient[0, :] = 0
    loss = 0.0
    if settings.hierarchical:
        for place in range(tables.starts[word], tables.starts[word + 1]):
            node, yes = tables.nodes[place], tables.turns[place] == 0
            loss += _decide(hidden, row, output, node, yes, rate, gradient, counted)
        return loss
    loss += _decide(hidden, row, output, word, True, rate, gradient, counted)
    for _ in range(settings.negatives):
        noise = draw_noise(tables.noise, tables.guide, rng)
        if noise != word:
            loss += _decide(hidden, row, output, noise, False, rate, gradient, counted)
    return loss


@kernel
def learn_sentences(
    vectors: np.ndarray, output: np.ndarray, words: np.ndarray, bounds: np.ndarray, first: int,
    last: int, rate: float, tables: Tables, settings: Settings, rng: np.ndarray, scratch: Scratch,
) -> tuple[float, int]:  # fmt: skip
    """Learn sentences first to last - 1.

    Args:
        vectors: float32 [V, D], learned in place.
        output: float32 [V or V - 1, D], learned in place.
        words: the text, int32 [N].
        bounds: where sentences begin, and N, int64 [S + 1].
        rate: learning rate; 0 only measures the loss.

    Returns:
        Sum of the loss over the predictions for which it was computed, and their number.
    """
    kept, hidden, gradient = scratch
    loss, predictions = 0.0, 0
    for sentence in range(first, last):
        length = 0
        for place in range(bounds[sentence], bounds[sentence + 1]):
            word = words[place]
            if tables.keep[word] >= 1 or random_unit(rng) < tables.keep[word]:
                kept[length] = word
                length += 1
        for i in range(length):
            reach = settings.window - random_below(rng, settings.window)
            begin, end = max(0, i - reach), min(length, i + reach + 1)
            counted = i % settings.loss_every == 0
            if end - begin < 2:
                continue
            if settings.cbow:
                share = np.float32(1) / np.float32(end - begin - 1)
                hidden[0, :] = 0
                for j in range(begin, end):
                    if j != i:
                        _add(hidden, 0, share, vectors, kept[j])
                loss += foretell(hidden, 0, output, kept[i], rate, gradient, tables, settings,
                                 rng, counted)  # fmt: skip
                predictions += counted
            for j in range(begin, end):
                if j == i:
                    continue
                if settings.cbow:
                    _add(vectors, kept[j], share, gradient, 0)
                    continue
                loss += foretell(vectors, kept[j], output, kept[i], rate, gradient, tables,
                                 settings, rng, counted)  # fmt: skip
                predictions += counted
                _add(vectors, kept[j], np.float32(1), gradient, 0)
    return loss, predictions
