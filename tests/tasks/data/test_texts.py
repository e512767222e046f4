"""Texts, R's data, and pairs of sentences: what is read, and what damage is answered with."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.errors import UserError
from tasks.data import texts
from tasks.data.pairs import load_pairs
from tasks.data.r_data import read_character_vectors
from tasks.data.texts import load_text, split_documents


def r_strings(strings: Sequence[str | None], version: int = 3, flags: int = 16) -> bytes:
    """R's serialization of a character vector."""
    parts = [b"X\n", struct.pack(">iii", version, 0x40201, 0x30500)]
    if version == 3:
        parts.append(struct.pack(">i", 5) + b"UTF-8")
    parts.append(struct.pack(">ii", flags, len(strings)))
    for text in strings:
        if text is None:
            parts.append(struct.pack(">ii", 9, -1))
        else:
            parts.append(struct.pack(">ii", 0x40009, len(text.encode())) + text.encode())
    return b"".join(parts)


def block(content: bytes, size: int | None = None) -> bytes:
    """An object as it stands in an .rdb file."""
    return struct.pack(">I", len(content) if size is None else size) + zlib.compress(content)


def test_character_vectors_of_r(tmp_path: Path) -> None:
    path = tmp_path / "Rdata.rdb"
    vectors = [["EMMA", "", "zwölf"], [], ["a line", "another"]]
    path.write_bytes(
        b"".join(block(r_strings(v, version=2 + i % 2)) for i, v in enumerate(vectors))
    )
    assert read_character_vectors(path) == vectors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\0\0", "not the data of an R package"),
        (b"\xff\xff\xff\xff" + zlib.compress(b"x"), "not the data of an R package"),
        (b"\0\0\0\x05hello", "damaged or not zlib-packed"),
        (block(r_strings(["a"]))[:-3], "truncated or damaged"),
        (block(r_strings(["a"]), size=20), "truncated or damaged"),
        (block(r_strings(["a"]), size=9999), "truncated or damaged"),
        (block(b"A\n1\n"), "expected R's serialization"),
        (block(r_strings(["a"], version=4)), "expected R's serialization of version 2 or 3"),
        (block(r_strings(["a"], flags=19)), "expected a plain character vector"),
        (block(r_strings(["a"], flags=16 | 1 << 9)), "expected a plain character vector"),
        (block(r_strings(["a", None])), "expected a text"),
        (block(r_strings(["a"])[:-1]), "expected 1 more bytes"),
        (block(r_strings(["a"]) + b"x"), "expected the end of the object"),
        (block(r_strings(["é"])[:-2] + b"\xff\xff"), "expected a text in UTF-8"),
        (block(r_strings([])[:-4] + b"\x7f\xff\xff\xff"), "expected 4 more bytes"),
    ],
)
def test_damaged_r_data_are_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "Rdata.rdb"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_character_vectors(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_austen_is_checked_by_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "austen"
    folder.mkdir()
    novels = [["EMMA", "It is"], ["PERSUASION", "a truth"]]
    (folder / "Rdata.rdb").write_bytes(b"".join(block(r_strings(novel)) for novel in novels))
    monkeypatch.setenv("TENGEN_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"the text in .*Rdata.rdb is not the file of this data"):
        load_text("austen")
    digest = hashlib.sha256(b"EMMA\nIt is\n\0PERSUASION\na truth\n").hexdigest()
    monkeypatch.setattr(texts, "AUSTEN_SHA256", digest)
    assert texts.austen() == ["EMMA\nIt is\n", "PERSUASION\na truth\n"]


def test_missing_texts_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENGEN_DATA", raising=False)
    monkeypatch.setattr(texts, "Path", lambda *parts: tmp_path / "absent")
    with pytest.raises(UserError, match="apt-get install --no-install-recommends r-cran-janeau"):
        load_text("austen")
    monkeypatch.undo()
    with pytest.raises(UserError, match="did you mean 'austen'"):
        load_text("austin")


def test_a_text_gives_its_end_to_the_test() -> None:
    documents = ["".join(f"{name}{i:03d}\n" for i in range(400)) for name in "ab"]
    data = split_documents("two", documents, "")
    for name, part in (("a", 0), ("b", 1)):
        pieces = [[line for line in text.splitlines() if line[0] == name]
                  for text in (data.train, data.validation, data.test)]  # fmt: skip
        assert "\n".join(sum(pieces, [])) + "\n" == documents[part]  # noqa: RUF017
        assert [round(len(piece) / 400, 2) for piece in pieces] == [0.9, 0.05, 0.05]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"too short", "has 9 characters, a text needs 1000"),
        (b"\xff\xfe" + "text".encode("utf-16-le") * 400, "is not UTF-8 text .byte 0"),
        (b"text\0" * 400, "holds NUL characters"),
        (gzip.compress(b"text" * 400, mtime=0)[:-8], "truncated gzip file"),
    ],
)
def test_files_that_are_no_text_are_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        load_text(str(path))
    assert str(path) in str(error.value)


def test_text_files_may_be_packed(tmp_path: Path) -> None:
    path = tmp_path / "text.txt.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfa line\r\n" * 300))
    data = load_text(str(path))
    assert data.train.startswith("a line\n") and "\r" not in data.train
    with pytest.raises(UserError, match=r"not a regular file|Is a directory"):
        load_text(str(tmp_path))


# ------------------------------------------------------------------ pairs of sentences


def test_two_files_are_split_by_what_they_say(pair_files: tuple[Path, Path]) -> None:
    data = load_pairs(str(pair_files[0]), str(pair_files[1]), "", "")
    parts = [data.train, data.validation, data.test]
    assert sum(map(len, parts)) == 300 and all(map(len, parts))
    seen = [set(part.source) for part in parts]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    for part in parts:
        assert [text.upper() for text in part.source] == part.target


def test_a_folder_of_pairs(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("dev", 2), ("test_a", 3), ("test_b", 1)):
        for ending in ("xx", "yy"):
            lines = [f"{part} {ending} {i}" for i in range(count)]
            (tmp_path / f"{part}.{ending}").write_text("\n".join(lines) + "\n")
    data = load_pairs(str(tmp_path), "", "xx", "yy")
    assert data.test.target == ["test_a yy 0", "test_a yy 1", "test_a yy 2"]
    assert [len(data.train), len(data.validation)] == [4, 2]
    with pytest.raises(UserError, match=r"has no train.zz; .* --source-ending"):
        load_pairs(str(tmp_path), "", "zz", "yy")
    (tmp_path / "dev.yy").write_text("one\n")
    with pytest.raises(UserError, match=r"dev.xx has 2 lines and .*dev.yy 1; they must belong"):
        load_pairs(str(tmp_path), "", "xx", "yy")


def test_pairs_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENGEN_DATA", raising=False)
    with pytest.raises(UserError, match=r"multi30k is not on this machine: .*put train.de"):
        load_pairs("multi30k", "", "de", "en")
    with pytest.raises(UserError, match="did you mean 'multi30k'"):
        load_pairs("multi30", "", "de", "en")
    alone = tmp_path / "a.de"
    alone.write_text("eins\n")
    with pytest.raises(UserError, match="name its translation with --data-target FILE"):
        load_pairs(str(alone), "", "de", "en")
    with pytest.raises(UserError, match="1 pairs of sentences, too few"):
        load_pairs(str(alone), str(alone), "de", "en")
    with pytest.raises(UserError, match=r"could not read .*b.de"):
        load_pairs(str(alone), str(tmp_path / "b.de"), "de", "en")
    alone.write_text("\n \n")
    with pytest.raises(UserError, match="hold no sentences"):
        load_pairs(str(alone), str(alone), "de", "en")
