"""Files of word vectors, neighbours and analogies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from networks.language.word_vectors import (
    Vectors,
    answer,
    load,
    neighbours,
    read_analogies,
    save_binary,
    save_text,
)

VECTORS = Vectors(
    ["man", "woman", "king", "queen", "appl\N{LATIN SMALL LETTER E WITH ACUTE}"],
    np.array([[1, 0, 0], [1, 1, 0], [1, 0, 2], [1, 1, 2], [-1e-20, 3.3333333, 1e7]], np.float32),
)


@pytest.mark.parametrize("save", [save_text, save_binary])
def test_files_give_back_every_bit(save: object, tmp_path: Path) -> None:
    assert callable(save)
    save(tmp_path / "vectors", VECTORS)
    read = load(tmp_path / "vectors")
    assert read.words == VECTORS.words
    assert np.array_equal(read.matrix, VECTORS.matrix)


@pytest.mark.parametrize(("save", "binary"), [(save_text, False), (save_binary, True)])
def test_gensim_reads_ours_and_we_read_gensims(save: object, binary: bool, tmp_path: Path) -> None:
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    assert callable(save)
    save(tmp_path / "ours", VECTORS)
    theirs = keyed.load_word2vec_format(str(tmp_path / "ours"), binary=binary)
    assert theirs.index_to_key == VECTORS.words
    assert np.array_equal(theirs.vectors, VECTORS.matrix)
    theirs.save_word2vec_format(str(tmp_path / "theirs"), binary=binary)
    read = load(tmp_path / "theirs")
    assert sorted(read.words) == sorted(VECTORS.words)
    for word, row in zip(read.words, read.matrix, strict=True):
        np.testing.assert_allclose(row, VECTORS.matrix[VECTORS.words.index(word)], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no file of word vectors"),
        (b"two 3\n", "no file of word vectors"),
        (b"999999999 999999\na 1\n", "says that it holds 999,999,999 words"),
        (b"0 3\n", "says that it holds 0 words"),
        (b"2 2\na 1 2\n", "says 2 words and has 1 lines"),
        (b"2 2\na 1 2\nb 1\n", "line 3: expected a word and 2 numbers"),
        (b"2 2\na 1 2\nb 1 x\n", "line 3: expected a word and 2 numbers"),
        (b"2 2\na 1 2\n\xff 1 2\n", "line 3: expected a word and 2 numbers"),
        (b"2 2\na 1 2\nb 1 nan\n", "the vector of 'b' holds what is no finite number"),
        (b"2 2\na 1 2\na 1 3\n", "a word twice"),
        (b"9000 300\na " + bytes(1200), "cut off"),
        (b"2 1\na \0\0\0\0\nb\0\0\0\0\0", "cut off or damaged at word 2"),
        (b"1 1\n\xff \0\0\0\0\n", "word 1 is not UTF-8"),
    ],
)
def test_files_that_are_none_get_one_line(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=expected) as refused:
        load(path)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)
    with pytest.raises(UserError, match="no-such"):
        load(tmp_path / "no-such")


def test_neighbours_are_the_nearest_by_cosine() -> None:
    near = neighbours(VECTORS, "king", 2)
    assert [word for word, _ in near] == ["queen", "appl\N{LATIN SMALL LETTER E WITH ACUTE}"]
    assert near[0][1] == pytest.approx(5 / np.sqrt(5 * 6))
    assert len(neighbours(VECTORS, "king", 99)) == 4
    with pytest.raises(UserError, match="'prince' has no vector"):
        neighbours(VECTORS, "prince", 2)


def test_analogies_are_asked_by_section(tmp_path: Path) -> None:
    text = ": royal\nman king woman queen\nwoman queen man king\n: other\n\nman man king pear\n"
    royal, other = read_analogies(tmp_path, text)
    assert (royal.name, len(royal.questions)) == ("royal", 2)
    assert answer(VECTORS, royal.questions) == (2, 2)
    assert answer(VECTORS, other.questions) == (0, 0), "a pear is not known"
    assert answer(VECTORS, [("man", "king", "woman", "man")]) == (0, 1)
    with pytest.raises(UserError, match=r"line 2: an analogy is four words .*got 3"):
        read_analogies(tmp_path, ": x\na b c\n")
    with pytest.raises(UserError, match="no analogies"):
        read_analogies(tmp_path, ": x\n")
