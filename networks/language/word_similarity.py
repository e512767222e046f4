"""How alike words are, by vectors and by people: correlation of ranks over judged pairs.

Paper: Finkelstein et al. 2002, Placing search in context (WordSim-353). People said of pairs of
words how alike they are; vectors say it by the cosine. Spearman's correlation asks only whether
both put the pairs in the same order.

    file      a line "word word score" for each pair, tabs or commas between, quoted or not; lines
              that begin with # say nothing, nor does a first line whose score is no number

Legend: P pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import UserError
from networks.language.word_vectors import Vectors, unit_length

FEWEST = 3
"""Pairs without which a correlation says nothing."""


@dataclass(frozen=True)
class JudgedPair:
    """Two words, and how alike people say they are."""

    first: str
    second: str
    score: float


def read_judged_pairs(path: Path, text: str) -> list[JudgedPair]:
    """The pairs of a file, as gensim's ``wordsim353.tsv`` has them.

    Raises:
        UserError: a line is none, or there are fewer than three.
    """
    pairs: list[JudgedPair] = []
    begun = False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip(' "') for field in line.split("\t" if "\t" in line else ",")]
        score = _number(fields[2]) if len(fields) == 3 and all(fields) else None
        if score is not None:
            pairs.append(JudgedPair(fields[0], fields[1], score))
        elif begun or len(fields) != 3:
            raise UserError(
                f"{path}, line {number}: expected two words and a number, tabs or commas between"
            )
        begun = True
    if len(pairs) < FEWEST:
        raise UserError(f"{path} has {len(pairs)} judged pairs: at least {FEWEST} are needed")
    return pairs


def _number(text: str) -> float | None:
    """What the text says, if it is a finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Agreement:
    """Of vectors and people, over the pairs whose words both have vectors."""

    spearman: float
    """From -1 to 1; 0 where one side says the same of all pairs, so that nothing is ordered."""
    known: int
    """Pairs."""


def agreement(vectors: Vectors, pairs: Sequence[JudgedPair]) -> Agreement:
    """How far vectors and people agree on the order of pairs.

    Raises:
        UserError: fewer than three of the pairs are of known words.
    """
    place = {word: row for row, word in enumerate(vectors.words)}
    known = [pair for pair in pairs if pair.first in place and pair.second in place]
    if len(known) < FEWEST:
        raise UserError(
            f"{len(known)} of the {len(pairs):,} judged pairs are of words that the text has often "
            f"enough, and {FEWEST} are needed; choose others, or lower --minimum-count"
        )
    units = unit_length(vectors.matrix)
    firsts = units[[place[pair.first] for pair in known]]  # [P, D]
    seconds = units[[place[pair.second] for pair in known]]
    cosines = (firsts * seconds).sum(axis=1)
    judged = np.array([pair.score for pair in known])
    return Agreement(spearman(cosines, judged), len(known))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of the ranks of two lists [P], equals sharing theirs; 0 where all are equal."""
    ranks = np.stack([_shared_ranks(first), _shared_ranks(second)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = np.sqrt((ranks**2).sum(axis=1).prod())
    return float((ranks[0] * ranks[1]).sum() / spread) if spread else 0.0


def _shared_ranks(values: np.ndarray) -> np.ndarray:
    """From 1 on; equal values have the mean of the ranks that they take. float64 [P]."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return ranks
