"""Lines that a client sends: whatever its bytes and however long, a line is a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, BinaryIO, NamedTuple, TextIO


class Line(NamedTuple):
    """One line."""

    text: str
    """Without its end; bytes that are no UTF-8 are replaced."""
    whole: bool
    """False: it was too long; `text` is its beginning, the rest was passed over."""


def standard_input() -> BinaryIO:
    """Standard input, for a thread: at exit Python aborts if one still waits in `sys.stdin`."""
    return open(0, "rb", closefd=False)


def standard_output() -> TextIO:
    """Standard output in UTF-8, whatever the locale."""
    return open(1, "w", encoding="utf-8", errors="replace", closefd=False)


def read_lines(source: IO[bytes], longest: int) -> Iterator[Line]:
    """Read lines of up to `longest` bytes until the client is gone."""
    try:
        while raw := source.readline(longest + 1):
            whole = len(raw) <= longest or raw.endswith(b"\n")
            rest = raw
            while not rest.endswith(b"\n") and rest:
                rest = source.readline(longest)
            yield Line(raw.decode("utf-8", "replace").rstrip("\r\n"), whole)
    except OSError:
        return
