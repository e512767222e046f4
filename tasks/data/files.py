"""Where data sets lie on this machine, and how their files are read. Nothing is downloaded.

A set is looked for in this order: the path that the user gave, the folder of its name below
$TENGEN_DATA, installed Python packages, Debian's data packages. Files may come from a stranger:
sizes are bounded before anything is unpacked, and a known file must have its known checksum.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from core.errors import UserError
from core.files import atomic
from core.files.json_files import disk_errors

VARIABLE = "TENGEN_DATA"
MAX_FILE_BYTES = 1 << 30
_GZIP = b"\x1f\x8b"


def locate(name: str, files: Sequence[str], places: Sequence[Path | None], advice: str) -> Path:
    """The folder that holds all of a set's files.

    Args:
        name: of the set, and of its folder below $TENGEN_DATA.
        files: names that must be there.
        places: folders of packages; None for a package that is not installed.
        advice: how to get the set.

    Raises:
        UserError: it is in none of the places; says how to get it.
    """
    root = os.environ.get(VARIABLE)
    candidates = [Path(root) / name] if root else []
    candidates += [place for place in places if place is not None]
    for folder in candidates:
        if all((folder / file).is_file() for file in files):
            return folder
    raise UserError(
        f"the data set {name} is not on this machine: {advice}; or put {', '.join(files)} into "
        f"a folder {name} below ${VARIABLE}"
    )


def package_folder(package: str, *inner: str) -> Path | None:
    """A folder in an installed Python package, which is not imported; None where it is not."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)), *inner)


def looks_like_path(data: str) -> bool:
    """Whether --data means a file or folder rather than the name of a set."""
    return os.sep in data or data in (".", "..") or Path(data).exists()


def read(path: Path, *, sha256: str | None = None, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The content of a file, unpacked where it is a gzip file.

    Args:
        path: a regular file.
        sha256: what the file as it lies on the disk must have, in hex; None for any.
        max_bytes: that the file, packed or unpacked, may have.

    Raises:
        UserError: it cannot be read, is another file, is truncated or too large.
    """
    with disk_errors("read", path):
        content = atomic.read_bounded(path, max_bytes)
    if sha256 is not None:
        require_sha256(str(path), content, sha256)
    return unpack(path, content, max_bytes) if content.startswith(_GZIP) else content


def require_sha256(what: str, content: bytes, expected: str) -> None:
    """Raise UserError unless the content is the known one."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise UserError(
            f"{what} is not the file of this data set: its SHA-256 is {found[:16]}..., expected "
            f"{expected[:16]}...; it is damaged or another version, get it again"
        )


def unpack(path: Path, packed: bytes, max_bytes: int) -> bytes:
    """Undo gzip, without ever holding more than `max_bytes`. Raises UserError."""
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = decompressor.decompress(packed, max_bytes + 1)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is a damaged gzip file: {error}") from error
    if len(content) > max_bytes:
        raise UserError(f"{path} holds more than {max_bytes:,} bytes, which no such file should")
    if not decompressor.eof:
        raise UserError(f"{path} is a truncated gzip file; get it again")
    return content


def read_text(path: Path, max_bytes: int = MAX_FILE_BYTES) -> str:
    """The text of a UTF-8 file. Raises UserError for anything else."""
    content = read(path, max_bytes=max_bytes)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text (byte {error.start:,}); expected a plain text file"
        ) from None
    if "\0" in text:
        raise UserError(f"{path} holds NUL characters; expected a plain text file")
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def fraction(key: str) -> float:
    """A number of [0, 1) that depends on a text alone: what splits by hash go by."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
