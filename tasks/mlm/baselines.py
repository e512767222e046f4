"""What a masked language model must beat: guesses from counts alone.

    unigram   always the commonest token
    bigram    the commonest token behind the one on the left, which is never hidden from it

Legend: N tokens, M guesses, V vocabulary.
"""

from __future__ import annotations

import numpy as np


def unigram_guess(train: np.ndarray) -> int:
    """The commonest token of int64 [N]."""
    return int(np.bincount(train).argmax())


def bigram_guesses(train: np.ndarray, left: np.ndarray, vocabulary: int) -> np.ndarray:
    """The commonest follower of each token of `left` in the training text.

    Args:
        train: int64 [N].
        left: int64 [M].
        vocabulary: V.

    Returns:
        int64 [M]; the commonest token of all where nothing ever followed.
    """
    codes, counts = np.unique(train[:-1] * vocabulary + train[1:], return_counts=True)
    best = np.full(vocabulary, unigram_guess(train))
    # Rising counts: what is written last for a token is its commonest follower.
    order = np.argsort(counts, kind="stable")
    best[codes[order] // vocabulary] = codes[order] % vocabulary
    guesses: np.ndarray = best[left]
    return guesses
