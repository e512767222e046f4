"""Where the replay memory keeps its frames: a ring in memory or a mapped file, on one file layout.

    frames.bin:  row t of all lanes at byte (t % D) * row_bytes, the lanes one after the other;
                 from the next multiple of 4096 on a checksum of each, <u4 [D]

The ring on disk is the longer one: it still holds the rows of the last checkpoint when newer ones
are written.

A checksum is the CRC-32 of a row, seeded with its number: where the file's differs from the
checkpoint's, the row was overwritten by a later one, even if both show the same picture.
Legend: R rows in memory, D on disk, L lanes, N observations, K frames stacked, F numbers in one.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.errors import UserError
from core.files import atomic
from core.replay.kernels import gather_stacks
from core.replay.plan import ReplayPlan

_BLOCK_BYTES = 64 << 20
_PAGE_BYTES = 4096
FRESH = "resume with --fresh-replay to go on without the old experience"


class FrameStore(Protocol):
    """Frames by row; rows are put in order, and the newest `retained_rows` can be read."""

    layout: str
    """Name of the file format: a checkpoint can be restored into a store of the same layout."""

    def put(self, row: int, frames: np.ndarray) -> None:
        """Store one row, [L, F]. Raises UserError, and changes nothing, when the disk is full."""

    def gather(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` [N, F, K] with the frames `numbers` (t * L + l), int64 [N, K]; -1: zeros."""

    def save(self, oldest: int, end: int) -> dict[str, Any]:
        """Make rows [oldest, end) durable; return what `load` needs. Raises UserError."""

    def load(self, oldest: int, end: int, state: Mapping[str, Any]) -> int:
        """Take rows [oldest, end) from disk; return the oldest that is still there.

        Raises UserError when any newer row is damaged.
        """

    def close(self) -> None:
        """Free the frames. The files stay."""


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while writing `path` into a UserError."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(
            f"cannot write the replay file {path}: {reason}; free some disk space and resume"
        ) from error


def write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at byte `offset`, however many system calls that takes."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def damage(path: Path, what: str) -> UserError:
    """Return the error for a file that does not hold what the checkpoint says."""
    return UserError(f"the replay file {path} is damaged: {what}; {FRESH}")


def checked_array(state: Mapping[str, Any], name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    """Return `state[name]`. Raises UserError if it is not an array of this dtype and shape."""
    array = state.get(name)
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        raise UserError(f"the checkpoint's replay column {name!r} is not {dtype} {shape}; {FRESH}")
    return array


def check_form(form: Any, ours: Mapping[str, Any]) -> None:
    """Raise UserError unless a checkpoint's `form` is `ours`."""
    if not isinstance(form, Mapping) or form.keys() != ours.keys():
        raise UserError(f"the checkpoint's replay is of an unknown form; {FRESH}")
    for name, value in ours.items():
        if form[name] != value:
            raise UserError(
                f"the checkpoint's replay has {name} {form[name]}, this run {value};"
                f" resume with the --replay it had, or {FRESH.removeprefix('resume ')}"
            )


class RingFrames:
    """The ring in memory; `save` writes the rows that are new since the last time."""

    layout = "ring"

    def __init__(self, plan: ReplayPlan, folder: Path) -> None:
        spec = plan.spec
        self._path = folder / "frames.bin"
        self._shape = (plan.rows, spec.lanes, spec.frame_items)
        self._dtype = np.dtype(spec.frame_dtype)
        self._row_bytes = spec.lanes * spec.frame_bytes
        self._file_rows = plan.file_rows
        self._checksum = np.zeros(plan.file_rows, "<u4")
        self._checksum_offset = -(-plan.file_rows * self._row_bytes // _PAGE_BYTES) * _PAGE_BYTES
        self._file_bytes = self._checksum_offset + self._checksum.nbytes
        self._durable_end = 0
        self._open_frames()

    def _open_frames(self) -> None:
        self._frames = np.zeros(self._shape, self._dtype)

    def put(self, row: int, frames: np.ndarray) -> None:
        """Store one row, [L, F]."""
        self._frames[row % self._shape[0]] = frames
        self._checksum[row % self._file_rows] = 0  # computed when it is saved

    def _compute_checksum(self, row: int) -> int:
        return zlib.crc32(self._frames[row % self._shape[0]], row & 0xFFFFFFFF)

    def gather(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` [N, F, K] with the frames `numbers`, int64 [N, K]."""
        gather_stacks(self._frames.reshape(-1, self._shape[2]), numbers, out)

    def save(self, oldest: int, end: int) -> dict[str, Any]:
        """Write the rows that are not on disk yet, and sync."""
        with explain_write_errors(self._path):
            # Older rows than `oldest`, too: so an old checkpoint's rows vanish oldest first.
            begin = max(self._durable_end, end - self._shape[0])
            for row in range(begin, end):
                self._checksum[row % self._file_rows] = self._compute_checksum(row)
            self._write(begin, end)
        self._durable_end = end
        return {"checksum": self._checksum[np.arange(oldest, end) % self._file_rows]}

    def _write(self, begin: int, end: int) -> None:
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # Checksums first: then a cut in between still leaves the oldest rows to be dropped.
            write_at(descriptor, self._checksum.data.cast("B"), self._checksum_offset)
            for offset, block in self._blocks(begin, end):
                write_at(descriptor, block, offset)
            atomic.sync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            atomic.sync_folder(self._path.parent)

    def _blocks(self, begin: int, end: int) -> Iterator[tuple[int, memoryview]]:
        """Yield rows [begin, end) as (offset in the file, their bytes), in runs of some MB."""
        most = max(1, _BLOCK_BYTES // self._row_bytes)
        while begin < end:
            slot, place = begin % self._shape[0], begin % self._file_rows
            count = min(end - begin, self._shape[0] - slot, self._file_rows - place, most)
            yield place * self._row_bytes, self._frames[slot : slot + count].data.cast("B")
            begin += count

    def load(self, oldest: int, end: int, state: Mapping[str, Any]) -> int:
        """Read rows [oldest, end); return the oldest that was not overwritten since."""
        expected = checked_array(state, "checksum", "uint32", (end - oldest,))
        rows = np.arange(oldest, end)
        places = rows % self._file_rows
        needed = int(places.max(initial=-1) + 1) * self._row_bytes
        if not self._path.is_file():
            raise UserError(f"the replay file {self._path} is missing; {FRESH}")
        size = self._path.stat().st_size
        if size < needed:
            raise damage(self._path, f"{size} bytes of at least {needed}")
        self._read(oldest, end)
        intact = expected == np.fromiter(map(self._compute_checksum, rows.tolist()), np.uint32)
        if size >= self._file_bytes:  # else the pictures alone must tell
            intact &= self._checksum[places] == expected
        # Rows appended after the checkpoint overwrite the oldest ones first, and nothing else.
        lost = int(np.argmax(intact)) if intact.any() else len(intact)
        wrong = rows[lost:][~intact[lost:]]
        if len(wrong):
            raise damage(self._path, f"{len(wrong)} rows from {wrong[0]} to {wrong[-1]} are wrong")
        self._checksum[places[lost:]] = expected[lost:]
        self._durable_end = end
        return oldest + lost

    def _read(self, oldest: int, end: int) -> None:
        with atomic.open_regular(self._path) as file:
            for offset, block in self._blocks(oldest, end):
                file.seek(offset)
                if file.readinto(block) != len(block):
                    raise damage(self._path, f"it ends before byte {offset + len(block)}")
            file.seek(self._checksum_offset)
            file.readinto(self._checksum.data.cast("B"))

    def close(self) -> None:
        """Free the frames. The file stays."""
        self._frames = np.zeros((0, 0, self._shape[2]), self._dtype)


class MappedFrames(RingFrames):
    """The ring as a mapped file: the system keeps in memory what it has room for."""

    def _open_frames(self) -> None:
        # Mapped at the first use, because mapping extends the file and so hides a short one.
        self._frames = np.zeros((0, 0, self._shape[2]), self._dtype)
        self._reserved = 0

    def _map(self) -> None:
        is_new = not self._path.exists()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._descriptor, self._file_bytes)
        self._allocate(self._checksum_offset, self._checksum.nbytes)
        if is_new:
            atomic.sync_folder(self._path.parent)
        self._map_of_file = mmap.mmap(self._descriptor, self._file_bytes)
        frames = np.frombuffer(self._map_of_file, self._dtype, math.prod(self._shape))
        self._checksum = np.frombuffer(self._map_of_file, "<u4", offset=self._checksum_offset)
        self._frames = frames.reshape(self._shape)

    def put(self, row: int, frames: np.ndarray) -> None:
        """Store one row, [L, F]. Raises UserError when the disk is full."""
        with explain_write_errors(self._path):
            if not len(self._frames):
                self._map()
            self._reserve((row % self._shape[0] + 1) * self._row_bytes)
        super().put(row, frames)

    def _reserve(self, size: int) -> None:
        """Take disk blocks ahead of use: writing to a hole when the disk is full would kill us."""
        if size <= self._reserved:
            return
        whole = self._shape[0] * self._row_bytes
        target = min(whole, max(size, self._reserved + _BLOCK_BYTES))
        self._allocate(self._reserved, target - self._reserved)
        self._reserved = target

    def _allocate(self, offset: int, size: int) -> None:
        try:
            os.posix_fallocate(self._descriptor, offset, size)
        except OSError as error:  # not every file system can
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise

    def _write(self, begin: int, end: int) -> None:
        if begin < end:
            self._map_of_file.flush()
            atomic.sync(self._descriptor)

    def _read(self, oldest: int, end: int) -> None:
        with explain_write_errors(self._path):
            if not len(self._frames):
                self._map()

    def close(self) -> None:
        """Unmap the file."""
        if len(self._frames):
            super().close()
            self._checksum = np.zeros(0, "<u4")
            self._map_of_file.close()
            os.close(self._descriptor)
