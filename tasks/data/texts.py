"""Texts by name, and any text file.

    austen    the six novels of Jane Austen, 4.0 million characters, public domain
    a file    UTF-8, packed with gzip or not

Each document gives its beginning to training, then 5 % to validation and 5 % to the test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError, did_you_mean
from tasks.data.files import locate, looks_like_path, read_text, require_sha256
from tasks.data.r_data import read_character_vectors

HELD_OUT = 0.05
"""Share of each document in the validation part, and as much in the test part."""
SMALLEST_TEXT = 1000
AUSTEN_SHA256 = "bfa1e624d95ebc49afff25205cf7c2d45dfa491f7d12ac175132c199a7c0249b"
"""Of the novels one after another: the file's own checksum changes with the version of R."""


@dataclass(frozen=True)
class TextSet:
    """A text in three parts that share none."""

    name: str
    train: str
    validation: str
    test: str
    licence: str

    def digest(self) -> str:
        """Changes with any character."""
        parts = (self.train, self.validation, self.test)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def load_text(data: str) -> TextSet:
    """A text by its name, or the file that the user named.

    Raises:
        UserError: unknown name, the text is not on this machine, or its file is damaged.
    """
    if data == "austen":
        return split_documents("austen", austen(), "public domain; the package: MIT")
    if looks_like_path(data):
        path = Path(data)
        text = read_text(path)
        if len(text) < SMALLEST_TEXT:
            raise UserError(
                f"{path} has {len(text)} characters, a text needs {SMALLEST_TEXT} to learn from"
            )
        return split_documents(path.name, [text], "not stated")
    raise UserError(
        f"there is no text {data!r}{did_you_mean(data, ['austen'])} (known: austen; or the path "
        f"of a text file)"
    )


def austen() -> list[str]:
    """The six novels. Raises UserError when they are not here or not what they should be."""
    folder = locate(
        "austen",
        ["Rdata.rdb"],
        [
            Path("/usr/lib/R/site-library/janeaustenr/data"),
            Path("/usr/local/lib/R/site-library/janeaustenr/data"),
        ],
        "apt-get install --no-install-recommends r-cran-janeaustenr",
    )
    path = folder / "Rdata.rdb"
    novels = ["\n".join(lines) + "\n" for lines in read_character_vectors(path)]
    require_sha256(f"the text in {path}", "\0".join(novels).encode(), AUSTEN_SHA256)
    return novels


def split_documents(name: str, documents: Sequence[str], licence: str) -> TextSet:
    """Cut each document in three at the ends of lines, where it has such."""
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for document in documents:
        first = _line_end(document, round(len(document) * (1 - 2 * HELD_OUT)))
        second = _line_end(document, round(len(document) * (1 - HELD_OUT)))
        for part, piece in zip(
            parts, (document[:first], document[first:second], document[second:]), strict=True
        ):
            part.append(piece)
    train, validation, test = ("".join(part) for part in parts)
    return TextSet(name, train, validation, test, licence)


def _line_end(text: str, place: int) -> int:
    """Just behind the first newline from `place` on, if there is one nearby."""
    found = text.find("\n", place, place + 200)
    return place if found < 0 else found + 1
