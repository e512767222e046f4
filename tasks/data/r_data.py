"""Character vectors out of an R package's data, without R and without running anything.

`Rdata.rdb` is blocks in a row, each an object:

    uint32 big-endian   bytes of the object once unpacked
    zlib stream         the object in R's serialization, XDR form:

        'X\\n', int32 version 2 or 3, two int32 of R's own version,
        in version 3: int32 length and the name of the native encoding
        int32 flags (low byte 16: character vector), int32 length, then for each string
            int32 flags (low byte 9), int32 bytes or -1 for a missing one, the bytes

R's serialization holds code as well; everything but a plain character vector is refused here.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from core.errors import UserError
from tasks.data.files import read

_STRINGS, _STRING = 16, 9
_LATIN1 = 1 << 14
_HAS_ATTRIBUTES = 1 << 9
MAX_OBJECT_BYTES = 64 << 20
MAX_BLOCKS = 1000


def read_character_vectors(path: Path) -> list[list[str]]:
    """Every object of an .rdb file, each a character vector: its strings.

    Raises:
        UserError: the file is of another kind, damaged, or holds other objects.
    """
    content = read(path)
    vectors: list[list[str]] = []
    place = 0
    while place < len(content):
        if len(vectors) >= MAX_BLOCKS:
            raise UserError(f"{path} holds more than {MAX_BLOCKS} objects")
        unpacked, place = _unpack_block(path, content, place)
        vectors.append(_Reader(path, unpacked).character_vector())
    if not vectors:
        raise UserError(f"{path} is empty; expected the data of an R package")
    return vectors


def _unpack_block(path: Path, content: bytes, place: int) -> tuple[bytes, int]:
    """The object that starts at `place`, and where the next one does."""
    header = content[place : place + 4]
    size = struct.unpack(">I", header)[0] if len(header) == 4 else 0
    if not 0 < size <= MAX_OBJECT_BYTES:
        raise UserError(f"{path} is not the data of an R package (at byte {place:,})")
    decompressor = zlib.decompressobj()
    try:
        unpacked = decompressor.decompress(content[place + 4 :], size + 1)
    except zlib.error as error:
        raise UserError(f"{path} is damaged or not zlib-packed (at byte {place:,})") from error
    if len(unpacked) != size or not decompressor.eof:
        raise UserError(f"{path} is truncated or damaged (at byte {place:,}); get it again")
    return unpacked, len(content) - len(decompressor.unused_data)


class _Reader:
    """Reads one object from front to back."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self.content = content
        self.place = 0

    def character_vector(self) -> list[str]:
        """The strings of an object that is nothing but a character vector."""
        if self._take(2) != b"X\n" or (version := self._integer()) not in (2, 3):
            raise self._unexpected("R's serialization of version 2 or 3")
        self._take(8)
        if version == 3:
            self._take(self._integer())
        flags = self._integer()
        if flags & 0xFF != _STRINGS or flags & _HAS_ATTRIBUTES:
            raise self._unexpected("a plain character vector")
        strings = [self._string() for _ in range(self._integer())]
        if self.place != len(self.content):
            raise self._unexpected("the end of the object")
        return strings

    def _string(self) -> str:
        flags, length = self._integer(), self._integer()
        if flags & 0xFF != _STRING or length < 0:
            raise self._unexpected("a text")
        try:
            return self._take(length).decode("latin-1" if flags & _LATIN1 else "utf-8")
        except UnicodeDecodeError:
            raise self._unexpected("a text in UTF-8") from None

    def _integer(self) -> int:
        value: int = struct.unpack(">i", self._take(4))[0]
        return value

    def _take(self, count: int) -> bytes:
        end = self.place + count
        if count < 0 or end > len(self.content):
            raise self._unexpected(f"{count} more bytes")
        taken = self.content[self.place : end]
        self.place = end
        return taken

    def _unexpected(self, wanted: str) -> UserError:
        return UserError(
            f"{self.path} holds an object that is not a character vector: expected {wanted} at "
            f"its byte {self.place:,}"
        )
