"""A text as tokens, and windows over it.

Legend: N tokens of a part, T tokens of a window, B windows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import UserError
from tasks.data.texts import TextSet, load_text
from tasks.tokens import Tokenizer, build_tokenizer, tokens_digest

TOKENS_AT_ONCE = 8192
"""Of a forward pass when scoring."""
LOGITS_AT_ONCE = 1 << 26
"""Of a forward pass when scoring: large vocabularies make it smaller, or memory would run out."""


@dataclass(frozen=True)
class TokenData:
    """A text in three parts, as tokens int64 [N]."""

    text: TextSet
    tokenizer: Tokenizer
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def identity(self) -> dict[str, Any]:
        """Digests of the data and the tokens, and the size of the vocabulary."""
        return {
            "data": self.text.digest(),
            "vocabulary": self.tokenizer.size,
            "tokens": tokens_digest(self.tokenizer),
        }

    def describe(self, windows: int, length: int) -> list[str]:
        """Sizes and licence."""
        return [
            f"{self.text.name}: {len(self.train):,} tokens to train on ({windows:,} windows of "
            f"{length}), {len(self.validation):,} for validation, {len(self.test):,} for the "
            f"test; a vocabulary of {self.tokenizer.size:,}; licence: {self.text.licence}"
        ]


def load_tokens(data: str, kind: str, vocabulary: int) -> TokenData:
    """Read a text and make tokens of it.

    Args:
        data: name or file.
        kind: of the tokenizer.
        vocabulary: tokens wanted of bpe.

    Raises:
        UserError: the text is not here, damaged or unknown, or a part of it is too short.
    """
    text = load_text(data)
    everything = text.train + text.validation + text.test
    tokenizer = build_tokenizer(kind, text.train, everything, vocabulary)
    parts = [tokenizer.encode(part) for part in (text.train, text.validation, text.test)]
    for part, tokens in zip(("validation", "test"), parts[1:], strict=True):
        if len(tokens) < 2:
            raise UserError(
                f"the {part} part of {text.name} has {len(tokens)} tokens, too few to score a "
                f"network by: use a longer text, or one with more lines"
            )
    return TokenData(text, tokenizer, *parts)


def count_windows(tokens: np.ndarray, length: int) -> int:
    """Examples that a text has: windows that do not overlap, with room to move by one window.

    Raises:
        UserError: the text is too short for one.
    """
    windows = (len(tokens) - 1) // length - 1
    if windows < 1:
        raise UserError(
            f"the text has {len(tokens):,} tokens to train on, too few for windows of {length}: "
            f"lower --context-length"
        )
    return windows


def random_windows(
    tokens: np.ndarray, windows: np.ndarray, length: int, random: np.random.Generator
) -> np.ndarray:
    """The numbered windows, each moved by less than its length, so that every epoch cuts the text
    at other places.

    Returns:
        int64 [B, length + 1]: the last token is the one that follows the window.
    """
    starts = windows * length + random.integers(0, length, len(windows))
    cut: np.ndarray = tokens[starts[:, None] + np.arange(length + 1)]
    return cut


@dataclass(frozen=True)
class Window:
    """A piece of a text in which some tokens are predicted."""

    start: int
    """Its first token's place in the text."""
    scored: int
    """The first of its targets that counts; those before it counted in an earlier window."""


def covering_windows(tokens: int, length: int) -> list[Window]:
    """Windows that predict every token but the first once.

    All but the first window overlap by half, so that a prediction sees at least half a window.

    Args:
        tokens: N, of the text.
        length: T.
    """
    targets = tokens - 1
    length = min(length, targets)
    windows = [Window(0, 0)]
    done = length
    while done < targets:
        start = min(done + max(1, length // 2), targets) - length
        windows.append(Window(start, done - start))
        done = start + length
    return windows


def windows_at_once(length: int, vocabulary: int) -> int:
    """Windows of a forward pass when scoring, for logits of so many tokens."""
    return max(1, min(TOKENS_AT_ONCE, LOGITS_AT_ONCE // vocabulary) // length)


def window_batches(
    tokens: np.ndarray, length: int, vocabulary: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of covering windows, which a larger vocabulary makes smaller.

    Yields:
        int64 [B, T + 1] tokens, and bool [B, T]: which targets count.
    """
    windows = covering_windows(len(tokens), length)
    length = min(length, len(tokens) - 1)
    size = windows_at_once(length, vocabulary)
    for first in range(0, len(windows), size):
        batch = windows[first : first + size]
        starts = np.array([window.start for window in batch])
        scored = np.array([window.scored for window in batch])
        yield (
            tokens[starts[:, None] + np.arange(length + 1)],
            np.arange(length) >= scored[:, None],
        )
