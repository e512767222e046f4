"""Text to numbered tokens and back: characters, bytes, or byte pairs.

Tokens that stand for no text, such as a mask, are numbered by the tasks from `size` on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from core.errors import UserError


class Tokenizer(Protocol):
    """A vocabulary of `size` tokens, 0 to size - 1."""

    size: int

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text, int64. Raises UserError for a text that has none."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""

    def spellings(self) -> tuple[bytes, ...]:
        """The UTF-8 of each token, which may be a part of a character; they decide the tokens."""


class Characters:
    """A token for each character that the training data have."""

    def __init__(self, text: str) -> None:
        """`text` is all that will ever be encoded, the held-out parts included."""
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        self._points = np.unique(points)  # sorted
        self.size = len(self._points)

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text, int64."""
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        places = np.searchsorted(self._points, points)
        known = self._points[np.minimum(places, self.size - 1)] == points
        if not known.all():
            strange = chr(points[~known][0])
            raise UserError(
                f"the character {strange!r} is not in the text that the tokens are made of; "
                f"--tokenizer bytes has all"
            )
        return places.astype(np.int64)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return "".join(chr(point) for point in self._points[np.asarray(tokens, np.int64)])

    def spellings(self) -> tuple[bytes, ...]:
        """The UTF-8 of each character."""
        return tuple(chr(point).encode("utf-8", "surrogatepass") for point in self._points)


class Bytes:
    """A token for each byte of UTF-8."""

    size = 256

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text, int64."""
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; bytes that are no character become a question mark in a diamond."""
        return bytes(np.asarray(tokens, np.uint8)).decode("utf-8", errors="replace")

    def spellings(self) -> tuple[bytes, ...]:
        """All bytes."""
        return tuple(bytes([number]) for number in range(self.size))


class BytePairs:
    """Frequent sequences of bytes as one token each, learned from the training text."""

    def __init__(self, lines: Sequence[str], size: int) -> None:
        """Raises UserError for a size under 256, the bytes."""
        from networks.language.bpe import train

        self._encoding = train(lines, size, special=())
        self.size = self._encoding.size

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text, int64. It is encoded by lines, which need little memory."""
        pieces = (self._encoding.encode(line) for line in text.splitlines(keepends=True))
        return np.array([token for piece in pieces for token in piece], np.int64)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return self._encoding.decode([int(token) for token in tokens])

    def spellings(self) -> tuple[bytes, ...]:
        """The bytes of each token."""
        return tuple(self._encoding.spelling(token) for token in range(self.size))


def tokens_digest(tokenizer: Tokenizer) -> str:
    """Changes with what any token stands for: what networks that share weights must have equal."""
    return hashlib.sha256(repr(tokenizer.spellings()).encode()).hexdigest()


def build_tokenizer(kind: str, train: str, everything: str, vocabulary: int) -> Tokenizer:
    """A tokenizer for a text.

    Args:
        kind: characters, bytes or bpe.
        train: what byte pairs are learned from.
        everything: all text, whose characters are numbered.
        vocabulary: tokens wanted of bpe.

    Raises:
        UserError: a vocabulary without room for the bytes.
    """
    if kind == "characters":
        return Characters(everything)
    if kind == "bytes":
        return Bytes()
    return BytePairs(train.splitlines(keepends=True), vocabulary)
