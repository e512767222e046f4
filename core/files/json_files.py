"""Read JSON and JSON lines of bounded size, and write what strict JSON allows.

The files may come from a stranger, and what an interrupted run wrote last may be half a line.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import atomic

MAX_TEXT_BYTES = 4 << 20
MAX_LINE_BYTES = 1 << 20
MAX_LINES_FILE_BYTES = 2 << 30


@contextmanager
def disk_errors(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a UserError: "could not <action> <path>: <reason>"."""
    try:
        yield
    except OSError as error:
        raise UserError(f"could not {action} {path}: {error.strerror or error}") from error


def json_text(content: dict[str, Any], indent: int | None = 1) -> bytes:
    """Return `content` as one JSON text with a final newline; on one line if `indent` is None."""
    text = json.dumps(_plain(content), indent=indent, allow_nan=False)
    return (text + "\n").encode()


def _plain(value: Any) -> Any:
    """Return `value` as JSON allows it: numpy scalars as numbers, nan and inf as None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if not isinstance(value, (str, int, float, type(None))) and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def read_text(path: Path) -> str:
    """Return a UTF-8 file of at most MAX_TEXT_BYTES. Raises UserError."""
    with disk_errors("read", path):
        content = atomic.read_bounded(path, MAX_TEXT_BYTES)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises UserError."""
    content = parsed(read_text(path).encode())
    if content is None:
        raise UserError(f"{path} is not a JSON object")
    return content


def parsed(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object that `text` is, or None."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of `path` that end with a newline, at most MAX_LINES_FILE_BYTES in all."""
    if not path.exists():
        return
    with atomic.open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_LINES_FILE_BYTES:
            raise UserError(f"{path} is larger than {MAX_LINES_FILE_BYTES} bytes")
        while line := file.readline(MAX_LINE_BYTES + 2):
            if len(line) == MAX_LINE_BYTES + 2:
                raise UserError(f"{path} has a line of more than {MAX_LINE_BYTES} bytes")
            if line.endswith(b"\n"):
                yield line


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options as one flat dict of numbers, strings and booleans."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = (
                value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
            )
    return flat
