"""Bibles of the SWORD project, which Debian packages, without its library.

A module is a folder of three files for each testament, `ot` and `nt`, all little-endian:

    ot.bzz   zlib streams, one for each block
    ot.bzs   for each block: uint32 place in .bzz, uint32 bytes there, uint32 bytes once unpacked
    ot.bzv   for each entry: uint32 number of its block, uint32 place in the block, uint16 bytes

Entries come in the order of the books: a heading for each book, one for each chapter, which holds
`<chapter osisID="Gen.1" sID=.../>`, then the chapter's verses. So every verse can be named without
a table of how many verses each chapter has, which differs from one tradition to the other. Entries
are OSIS, a markup of XML in which tags may span entries.
"""

from __future__ import annotations

import html
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from core.errors import UserError
from tasks.data.files import read

TESTAMENTS = ("ot", "nt")
FILES = tuple(f"{part}.{ending}" for part in TESTAMENTS for ending in ("bzz", "bzs", "bzv"))
"""Of one module."""
MAX_BLOCK_BYTES = 64 << 20
_BLOCK, _ENTRY = struct.Struct("<III"), struct.Struct("<IIH")
_START = re.compile(r"<(chapter|div)\b(?=[^>]*\bsID=)([^>]*)>")
_OSIS_ID = re.compile(r'\bosisID="([^"]+)"')
_NO_TEXT = re.compile(
    r'<note\b.*?</note>|<title\b(?![^>]*\bcanonical="true").*?</title>', re.DOTALL
)
_END = re.compile(r'<div\b(?=[^>]*\beID=)[^>]*\btype="book".*', re.DOTALL)
"""Of a book, and what an editor adds behind it."""
_BREAK = re.compile(r"<(?:/q|div|l|lg|lb)\b[^>]*>")
_TAG = re.compile(r"<[^>]*>")
_SPACE_BEFORE = re.compile(r" (?=[,.;:?!)”’])")


def read_chapters(folder: Path) -> dict[str, list[str]]:
    """The verses of each chapter of a module, by its name such as 'Gen.1', in the books' order.

    A verse that the translation does not have is ''.

    Raises:
        UserError: a file is missing, damaged, or of another kind.
    """
    chapters: dict[str, list[str]] = {}
    for part in TESTAMENTS:
        verses: list[str] | None = None  # of the chapter that is read; None in a book's heading
        for entry in _entries(folder, part):
            started = [
                (tag == "chapter", _OSIS_ID.search(rest))
                for tag, rest in _START.findall(entry)
                if tag == "chapter" or 'type="book"' in rest
            ]
            if not started:
                if verses is not None:
                    verses.append(plain_text(entry))
                continue
            is_chapter, name = started[-1]
            verses = chapters.setdefault(name[1], []) if is_chapter and name else None
    if not any(map(any, chapters.values())):
        raise UserError(f"{folder} holds no verses; expected a Bible of the SWORD project")
    return chapters


def plain_text(markup: str) -> str:
    """An entry without its markup, footnotes, and headings that are not part of the text."""
    spaced = _BREAK.sub(" ", _NO_TEXT.sub(" ", _END.sub("", markup)))
    text = html.unescape(_TAG.sub("", spaced))
    return _SPACE_BEFORE.sub("", " ".join(text.split()))


def _entries(folder: Path, part: str) -> Iterator[str]:
    """All entries of a testament. Raises UserError."""
    packed, index, places = (folder / f"{part}.{ending}" for ending in ("bzz", "bzs", "bzv"))
    blocks = [
        _unpack(packed, content, size)
        for content, size in _slices(read(packed), index, _records(index, _BLOCK))
    ]
    for block, start, size in _records(places, _ENTRY):
        if not size:
            yield ""
            continue
        if block >= len(blocks) or start + size > len(blocks[block]):
            raise UserError(f"{places} points behind the end of {packed}; get both again")
        try:
            yield blocks[block][start : start + size].decode("utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{packed} holds an entry that is not UTF-8 text") from None


def _records(path: Path, layout: struct.Struct) -> Iterator[tuple[int, ...]]:
    content = read(path)
    if not content or len(content) % layout.size:
        raise UserError(
            f"{path} has {len(content):,} bytes, expected records of {layout.size}; it is "
            f"truncated or of another kind"
        )
    return layout.iter_unpack(content)


def _slices(
    packed: bytes, index: Path, records: Iterator[tuple[int, ...]]
) -> Iterator[tuple[bytes, int]]:
    """The packed bytes of every block, and how many they will be."""
    for start, length, size in records:
        if start + length > len(packed) or size > MAX_BLOCK_BYTES:
            raise UserError(f"{index} does not belong to the file beside it; get both again")
        yield packed[start : start + length], size


def _unpack(path: Path, content: bytes, size: int) -> bytes:
    if not size:
        return b""
    decompressor = zlib.decompressobj()
    try:
        unpacked = decompressor.decompress(content, size + 1)
    except zlib.error as error:
        raise UserError(f"{path} is damaged or not zlib-packed: {error}") from error
    if len(unpacked) != size or not decompressor.eof:
        raise UserError(f"{path} is truncated or damaged; get it again")
    return unpacked
