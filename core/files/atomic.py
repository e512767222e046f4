"""File operations that survive a crash: the only module that writes, syncs, renames or removes.

Everything durable in a run's folder goes through these few functions, so that one test can make
each of them fail, or the process die, at every single call. All of them raise OSError.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

Bytes = bytes | bytearray | memoryview

_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Written:
    """What a finished file holds: its size in bytes and the SHA-256 of its content."""

    size: int
    sha256: str


def make_folder(path: Path) -> None:
    """Create `path` and its missing parents; each new name is on disk when this returns."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
    sync_folder(path.parent)


def make_new_folder(path: Path) -> None:
    """Create `path`, whose parent exists. Raises FileExistsError if it is already there."""
    path.mkdir()
    sync_folder(path.parent)


def create_file(path: Path) -> int:
    """Create `path`, which must not exist, and return a descriptor open for writing."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def write_bytes(descriptor: int, data: Bytes) -> None:
    """Write all of `data`, however many system calls that takes."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync(descriptor: int) -> None:
    """Wait until what was written to `descriptor` is on the disk."""
    os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder `path` are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Give `source` the name `target`, in one step; an existing *file* `target` is replaced."""
    source.replace(target)


def write_file(path: Path, chunks: Iterable[Bytes]) -> Written:
    """Write a new file from `chunks`, which may be produced lazily, and sync it."""
    digest = hashlib.sha256()
    size = 0
    descriptor = create_file(path)
    try:
        for chunk in chunks:
            write_bytes(descriptor, chunk)
            digest.update(chunk)
            size += memoryview(chunk).nbytes
        sync(descriptor)
    finally:
        os.close(descriptor)
    return Written(size, digest.hexdigest())


def replace_file(path: Path, chunks: Iterable[Bytes]) -> None:
    """Replace `path` by a file of `chunks`: at every moment the old or the new one is there."""
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    remove(temporary)
    try:
        write_file(temporary, chunks)
        rename(temporary, path)
    except OSError:
        remove(temporary)
        raise
    sync_folder(path.parent)


def overwrite(path: Path, content: bytes) -> None:
    """Write over a file in place, which needs no new space on a full disk; a kill can tear it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_bytes(descriptor, content)
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove the file or folder `path` if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def append_line(path: Path, line: bytes, *, synced: bool = False) -> None:
    """Append `line` and a newline. An unfinished last line, left by a kill, is dropped first.

    If the write fails, nothing of it stays. Unless `synced`, a power cut may lose the last lines.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    try:
        size = _end_of_last_whole_line(descriptor)
        try:
            write_bytes(descriptor, line + b"\n")
            if synced:
                sync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _end_of_last_whole_line(descriptor: int) -> int:
    """Cut the file after its last newline and return its size, in bytes."""
    size = end = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
    return end


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; anything else (a pipe would block for ever) is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file of at most `max_bytes` bytes."""
    with open_regular(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes", str(path))
    return content


def lock_file(path: Path, note: bytes) -> int | None:
    """Lock `path` for this process, leave `note` in it, and return the descriptor to unlock.

    None: somebody else holds the lock. The system drops the lock when its holder dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        write_bytes(descriptor, note)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def unlock_file(descriptor: int) -> None:
    """Give back a lock taken by `lock_file`. The file stays: removing it would race."""
    os.close(descriptor)
