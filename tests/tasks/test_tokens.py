"""Tokenizers give back what they took; windows predict every token once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from tasks.options import check_vocabulary
from tasks.token_data import (
    LOGITS_AT_ONCE,
    TOKENS_AT_ONCE,
    count_windows,
    covering_windows,
    load_tokens,
    random_windows,
    window_batches,
    windows_at_once,
)
from tasks.tokens import Bytes, Characters, build_tokenizer


@pytest.mark.parametrize("kind", ["characters", "bytes", "bpe"])
def test_texts_come_back(kind: str) -> None:
    text = "Zwölf Boxkämpfer\n\n  jagen \U0001f600\tViktor\n" * 5
    tokenizer = build_tokenizer(kind, text, text, 280)
    tokens = tokenizer.encode(text)
    assert tokens.dtype == np.int64 and tokens.min() >= 0 and tokens.max() < tokenizer.size
    assert tokenizer.decode(tokens.tolist()) == text
    spellings = tokenizer.spellings()
    assert len(spellings) == tokenizer.size
    assert b"".join(spellings[token] for token in tokens.tolist()) == text.encode()
    if kind == "bpe":
        assert tokenizer.size <= 280 and len(tokens) < len(text.encode())


def test_characters_are_numbered_in_order() -> None:
    tokenizer = Characters("banana")
    assert tokenizer.size == 3
    assert tokenizer.encode("nab").tolist() == [2, 0, 1]
    with pytest.raises(UserError, match="'c' is not in the text that the tokens"):
        tokenizer.encode("cab")
    with pytest.raises(UserError, match="'z' is not in the text"):
        tokenizer.encode("z")


def test_half_a_character_is_shown_as_such() -> None:
    assert Bytes().decode([97, 0xC3]) == "a\ufffd"


def test_vocabularies_hold_the_bytes() -> None:
    with pytest.raises(UserError, match=r"--vocabulary must be 256 .the bytes. to 1000000"):
        check_vocabulary("bpe", 255)
    check_vocabulary("characters", 0)


@given(tokens=st.integers(2, 200), length=st.integers(1, 60))
def test_every_token_but_the_first_is_predicted_once(tokens: int, length: int) -> None:
    windows = covering_windows(tokens, length)
    size = min(length, tokens - 1)
    predicted: list[int] = []
    for number, window in enumerate(windows):
        assert window.start + size <= tokens - 1
        assert window.scored < size
        assert number == 0 or window.scored >= length // 2 or length == 1
        predicted += range(window.start + window.scored + 1, window.start + size + 1)
    assert predicted == list(range(1, tokens))


def test_window_batches_hold_the_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.token_data.TOKENS_AT_ONCE", 20)
    tokens = np.arange(100, 137)
    scored = []
    for batch, counts in window_batches(tokens, 8, 5):
        assert batch.shape[1] == 9 and counts.shape == (len(batch), 8) and len(batch) <= 2
        assert (np.diff(batch) == 1).all()
        scored += batch[:, 1:][counts].tolist()
    assert scored == list(range(101, 137))


def test_large_vocabularies_make_batches_small() -> None:
    assert windows_at_once(128, 2000) == TOKENS_AT_ONCE // 128
    for vocabulary in (30_000, 1_000_000):
        assert windows_at_once(32, vocabulary) * 32 * vocabulary <= LOGITS_AT_ONCE
    assert windows_at_once(128, 1_000_000) == 1


@given(length=st.integers(1, 9), extra=st.integers(0, 30), seed=st.integers(0, 99))
def test_training_windows_stay_inside_the_text(length: int, extra: int, seed: int) -> None:
    tokens = np.arange(2 * length + 1 + extra)
    count = count_windows(tokens, length)
    random = np.random.default_rng(seed)
    windows = random_windows(tokens, np.arange(count), length, random)
    assert windows.shape == (count, length + 1) and (np.diff(windows) == 1).all()
    starts = windows[:, 0]
    assert (starts // length == np.arange(count)).all()


def test_a_text_too_short_for_the_context(text_file: Path) -> None:
    data = load_tokens(str(text_file), "bytes", 0)
    with pytest.raises(UserError, match=r"too few for windows of 4,?000: lower --context-length"):
        count_windows(data.train, 4000)


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_parts_without_tokens_to_score_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "one_line.txt"
    path.write_text("hello world " * 100 + "\n")  # its only line end is behind the held-out parts
    with pytest.raises(UserError, match=r"the validation part of one_line.txt has 0 tokens"):
        load_tokens(str(path), kind, 300)
