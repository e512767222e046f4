"""Judged pairs: their files, and ranks against scipy's and gensim's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from core.errors import UserError
from networks.language.word_similarity import (
    JudgedPair,
    agreement,
    read_judged_pairs,
    spearman,
)
from networks.language.word_vectors import Vectors, save_text

PATH = Path("pairs.tsv")


def drawn(seed: int) -> tuple[Vectors, list[JudgedPair]]:
    """Vectors of 30 words, and 60 pairs, some of words that have none; some scores are equal."""
    random = np.random.default_rng(seed)
    vectors = Vectors([f"w{n}" for n in range(30)], random.normal(size=(30, 5)).astype(np.float32))
    every = np.stack(np.triu_indices(36, k=1), axis=1)  # none twice: rounding would order equals
    pairs = [
        JudgedPair(f"w{first}", f"w{second}", float(random.integers(8)))
        for first, second in random.permutation(every)[:60]
    ]
    return vectors, pairs


def test_a_file_is_pairs_and_comments() -> None:
    text = "# WordSim\nWord 1\tWord 2\tHuman (mean)\n\nold cat\tnew\t1.5\n a \tb\t-2\nc\td\t0\n"
    expected = [("old cat", "new", 1.5), ("a", "b", -2.0), ("c", "d", 0.0)]
    for form in (text, text.replace("\t", ",")):
        assert read_judged_pairs(PATH, form) == [JudgedPair(*each) for each in expected]
    quoted = '"one","two","score"\n"old cat","new",1.5\n"a", "b", "-2"\nc,d,0\n'
    assert read_judged_pairs(PATH, quoted) == [JudgedPair(*each) for each in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\n", "line 1: expected two words and a number"),
        ("a\tb\t1\nc\td\tx\n", "line 2: expected two words"),
        ("a\tb\t1\nc\td\tnan\n", "line 2: expected two words"),
        ("one\ttwo\tthree\na\tb\n", "line 2: expected two words"),
        ("one\ttwo\tthree\na\tb\tmany\n", "line 2: expected two words"),
        ("a b 1\n", "line 1: expected two words"),
        ("# nothing\n", "has 0 judged pairs: at least 3"),
        ("a\tb\t1\na\tc\t1\n", "has 2 judged pairs: at least 3"),
    ],
)
def test_a_file_that_is_none_gets_one_line(text: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as refused:
        read_judged_pairs(PATH, text)
    assert "\n" not in str(refused.value) and str(PATH) in str(refused.value)


@pytest.mark.parametrize("seed", range(20))
def test_ranks_correlate_as_scipy_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 3 + seed, size=(2, 5 + seed)).astype(float)
    if np.ptp(first) and np.ptp(second):
        expected = spearmanr(first, second).statistic
        assert spearman(first, second) == pytest.approx(expected, abs=1e-12)
    assert spearman(first, np.ones_like(first)) == 0.0


def test_pairs_without_vectors_are_left_out() -> None:
    vectors, pairs = drawn(1)
    found = agreement(vectors, pairs)
    known = [p for p in pairs if int(p.first[1:]) < 30 and int(p.second[1:]) < 30]
    assert 3 < found.known == len(known) < len(pairs)
    cosines = []
    for pair in known:
        first, second = (vectors.matrix[int(word[1:])] for word in (pair.first, pair.second))
        cosines.append(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    expected = spearman(np.array(cosines), np.array([pair.score for pair in known]))
    assert found.spearman == pytest.approx(expected, abs=1e-12)
    with pytest.raises(UserError, match="2 of the 5 judged pairs are of words"):
        agreement(vectors, [*known[:2], *[JudgedPair("w30", "w1", 1.0)] * 3])


def test_gensim_agrees(tmp_path: Path) -> None:
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    vectors, pairs = drawn(2)
    save_text(tmp_path / "vectors.txt", vectors)
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"{p.first}\t{p.second}\t{p.score}\n" for p in pairs))
    theirs = keyed.load_word2vec_format(str(tmp_path / "vectors.txt"))
    _, rank, unknown = theirs.evaluate_word_pairs(str(file))
    found = agreement(vectors, pairs)
    assert found.spearman == pytest.approx(rank.statistic, abs=1e-6)
    assert found.known == round(len(pairs) * (1 - unknown / 100))
