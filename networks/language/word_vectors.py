"""Word vectors as files in the two forms of word2vec, and what they know: neighbours, analogies.

    text      a line "V D"; then a line for each word: the word and D numbers, blanks between
    binary    the same first line; then for each word the word, a blank, D float32, a newline

Analogies: "a is to b as c is to ?" is answered by the word nearest to b - a + c by cosine, with the
vectors at length 1 and a, b, c left out (Mikolov et al. 2013, arXiv 1301.3781, section 4).

Legend: V words, D features, Q questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.files import atomic
from core.files.json_files import disk_errors

MAX_FILE_BYTES = 1 << 34
_HEADER = re.compile(rb"(\d{1,9}) (\d{1,6})[ \t\r]*\n")
_LONGEST_WORD = 4096
_AT_ONCE = 1024


@dataclass(frozen=True)
class Vectors:
    """Words and their vectors."""

    words: list[str]
    matrix: np.ndarray
    """float32 [V, D]."""


# ---------------------------------------------------------------- files


def save_text(path: Path, vectors: Vectors) -> None:
    """Write the text form. Raises UserError where the disk does not take it."""
    lines = (
        " ".join([word, *map(repr, row)]) + "\n"
        for word, row in zip(vectors.words, vectors.matrix.tolist(), strict=True)
    )
    _save(path, vectors, (line.encode() for line in lines))


def save_binary(path: Path, vectors: Vectors) -> None:
    """Write the binary form. Raises UserError where the disk does not take it."""
    rows = vectors.matrix.astype("<f4")
    pairs = zip(vectors.words, rows, strict=True)
    _save(path, vectors, (word.encode() + b" " + row.tobytes() + b"\n" for word, row in pairs))


def _save(path: Path, vectors: Vectors, entries: Iterable[bytes]) -> None:
    header = f"{len(vectors.words)} {vectors.matrix.shape[1]}\n".encode()
    with disk_errors("write", path):
        atomic.replace_file(path, _grouped(header, entries))


def _grouped(header: bytes, entries: Iterable[bytes]) -> Iterator[bytes]:
    """Few large pieces, which are written faster than many small ones."""
    group = [header]
    for entry in entries:
        group.append(entry)
        if len(group) == _AT_ONCE:
            yield b"".join(group)
            group = []
    yield b"".join(group)


def load(path: Path) -> Vectors:
    """Read either form.

    Raises:
        UserError: it cannot be read, is neither form, is cut off, or holds what is no finite
            number or no text.
    """
    with disk_errors("read", path):
        content = atomic.read_bounded(path, MAX_FILE_BYTES)
    header = _HEADER.match(content)
    if header is None:
        raise UserError(
            f"{path} is no file of word vectors: its first line must be two numbers, the words and "
            f"the features of each"
        )
    count, width = int(header[1]), int(header[2])
    if not 0 < count * width <= MAX_FILE_BYTES // 4:
        raise UserError(f"{path} says that it holds {count:,} words of {width:,} features")
    body = memoryview(content)[header.end() :]
    words, matrix = (_read_text if _is_text(body) else _read_binary)(path, body, count, width)
    if len(set(words)) != count:
        raise UserError(f"{path} has a word twice")
    if not np.isfinite(matrix).all():
        bad = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise UserError(f"{path}: the vector of {words[bad]!r} holds what is no finite number")
    return Vectors(words, matrix)


def _is_text(body: memoryview) -> bool:
    """Whether the first line, up to any length that one can have, has only numbers after a word."""
    line = bytes(body[: 1 << 20]).partition(b"\n")[0]
    return re.fullmatch(rb"[^ \t]+([ \t]+[-+.0-9eEnainf]+)+[ \t\r]*", line) is not None


def _read_text(
    path: Path, body: memoryview, count: int, width: int
) -> tuple[list[str], np.ndarray]:
    lines = bytes(body).splitlines() if count else []
    if len(lines) != count:
        raise UserError(f"{path} says {count:,} words and has {len(lines):,} lines of them")
    words = []
    matrix = np.empty((count, width), np.float32)
    for number, line in enumerate(lines):
        word, *numbers = line.split()
        try:
            words.append(word.decode())
            matrix[number] = np.array([float(text) for text in numbers]).reshape(width)
        except ValueError:  # also of an encoding that is none, and of another length
            raise UserError(
                f"{path}, line {number + 2}: expected a word and {width} numbers"
            ) from None
    return words, matrix


def _read_binary(
    path: Path, body: memoryview, count: int, width: int
) -> tuple[list[str], np.ndarray]:
    if len(body) < count * (4 * width + 2):  # before memory is taken for what it claims
        raise UserError(f"{path} is cut off, or no file of word vectors")
    words = []
    matrix = np.empty((count, width), np.float32)
    place = 0
    for number in range(count):
        word, blank, _ = bytes(body[place : place + _LONGEST_WORD]).partition(b" ")
        place += len(word) + 1
        end = place + 4 * width
        try:
            words.append(word.lstrip(b"\n").decode())
        except UnicodeDecodeError:
            raise UserError(f"{path}: word {number + 1:,} is not UTF-8") from None
        if not blank or not words[-1] or end > len(body):
            raise UserError(f"{path} is cut off or damaged at word {number + 1:,}")
        matrix[number] = np.frombuffer(body[place:end], "<f4")
        place = end
    return words, matrix


# ---------------------------------------------------------------- what they know


def unit_length(matrix: np.ndarray) -> np.ndarray:
    """Rows at length 1, float32 [V, D]; those of length 0 stay."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    units: np.ndarray = matrix / np.maximum(lengths, np.finfo(np.float32).tiny)
    return units


def neighbours(vectors: Vectors, word: str, count: int) -> list[tuple[str, float]]:
    """The words nearest to one of them, with their cosines.

    Raises:
        UserError: it is none of them.
    """
    if word not in vectors.words:
        raise UserError(f"the word {word!r} has no vector: it is not in the text, or too rare")
    units, place = unit_length(vectors.matrix), vectors.words.index(word)
    cosines = units @ units[place]
    cosines[place] = -np.inf
    nearest = np.argsort(-cosines, kind="stable")[: min(count, len(cosines) - 1)]
    return [(vectors.words[other], float(cosines[other])) for other in nearest]


@dataclass(frozen=True)
class AnalogySection:
    """Questions of one kind."""

    name: str
    questions: list[tuple[str, str, str, str]]
    """(a, b, c, d): a is to b as c is to d."""


def read_analogies(path: Path, text: str) -> list[AnalogySection]:
    """Sections ": name", and under them lines of four words, as in word2vec's questions-words.txt.

    Raises:
        UserError: a line is none of that, or there is no question.
    """
    sections: list[AnalogySection] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(":"):
            sections.append(AnalogySection(line[1:].strip(), []))
        elif words := line.split():
            if len(words) != 4:
                raise UserError(
                    f"{path}, line {number}: an analogy is four words (a is to b as c is to d), "
                    f"got {len(words)}"
                )
            if not sections:
                sections.append(AnalogySection("analogies", []))
            sections[-1].questions.append((words[0], words[1], words[2], words[3]))
    if not any(section.questions for section in sections):
        raise UserError(f"{path} has no analogies: lines of four words")
    return sections


def answer(vectors: Vectors, questions: Sequence[tuple[str, str, str, str]]) -> tuple[int, int]:
    """Questions that were answered rightly, and those of which all four words are known."""
    number = {word: place for place, word in enumerate(vectors.words)}
    known = [q for q in questions if all(word in number for word in q)]
    units = unit_length(vectors.matrix)
    right = 0
    for first in range(0, len(known), _AT_ONCE):
        asked = np.array([[number[word] for word in q] for q in known[first : first + _AT_ONCE]])
        a, b, c, d = asked.T
        cosines = (units[b] - units[a] + units[c]) @ units.T  # [Q, V]; a length changes no order
        np.put_along_axis(cosines, asked[:, :3], -np.inf, axis=1)
        right += int((cosines.argmax(axis=1) == d).sum())
    return right, len(known)
