"""Frames compressed without loss, in memory and in append-only segment files.

Consecutive frames are alike, so four of one lane are compressed together as one LZ4 block. Measured
on 600 random-play frames of 84x84 per game, 2 busy cores; bytes per frame, microseconds per frame
to compress, milliseconds to decompress the 5 frames that each of 32 transitions needs (Pong,
Breakout, Seaquest, MsPacman, Enduro):

    lz4, frames alone         264  395  704 1831 1286     2.5-10.5 us    0.4-1.2 ms
    lz4, XOR with every 4th   170  177  299  668  888     4.1-10.1 us    0.6-1.3 ms
    lz4, blocks of 4          136  167  280  737  829     1.4- 6.0 us    0.5-1.0 ms   <- used
    lz4, blocks of 8          113  129  207  511  685     1.9- 4.6 us    0.6-1.2 ms
    zstd -1, blocks of 4       79  109  168  453  486     3.3- 8.6 us    0.6-1.2 ms
    zlib 1, frames alone      228  350  607 1342 1004      24- 74 us     1.8-4.2 ms

    segment-<number>.lz4:  for each group of 4 rows: length of each lane's block (<u4 [L]), blocks

Legend: L lanes, N observations, K frames stacked, F numbers in a frame.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lz4.block  # type: ignore[import-untyped]
import numpy as np

from core.errors import UserError
from core.files import atomic
from core.replay.kernels import gather_stacks
from core.replay.plan import ReplayPlan
from core.replay.storage import FRESH, checked_array, damage, explain_write_errors, write_at

GROUP_ROWS = 4
_SEGMENT_FRAMES = 4096


class _Segment:
    """Some groups, one after the other: the blocks of each lane of each group."""

    def __init__(self, first_group: int, lanes: int, path: Path) -> None:
        self.first_group = first_group
        self.lanes = lanes
        self.path = path
        self.blocks: list[bytes] = []
        self.checksums: list[int] = []  # of the durable groups
        self.durable_groups = 0
        self.durable_bytes = 0

    def append(self, blocks: list[bytes]) -> None:
        """Add the blocks of all lanes of the next group."""
        self.blocks += blocks

    @staticmethod
    def _record(blocks: list[bytes]) -> bytes:
        return np.array([len(block) for block in blocks], "<u4").tobytes() + b"".join(blocks)

    def write(self) -> None:
        """Append to the file what it lacks, and sync. After an error the next call tries again."""
        lanes = self.lanes
        groups = range(self.durable_groups, len(self.blocks) // lanes)
        records = [self._record(self.blocks[g * lanes : (g + 1) * lanes]) for g in groups]
        if not records:
            return
        content = b"".join(records)
        with explain_write_errors(self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                # Not O_APPEND: behind may lie groups of a timeline that was given up.
                write_at(descriptor, memoryview(content), self.durable_bytes)
                atomic.sync(descriptor)
            finally:
                os.close(descriptor)
        self.checksums += map(zlib.crc32, records)
        self.durable_groups = groups.stop
        self.durable_bytes += len(content)

    def read(self, groups: int) -> None:
        """Take the first `groups` groups of the file. Raises UserError if it ends before."""
        with atomic.open_regular(self.path) as file:
            content = file.read()
        offset = 0
        for group in range(groups):
            begin = offset
            header = content[offset : offset + 4 * self.lanes]
            offset += 4 * self.lanes
            blocks = []
            for length in np.frombuffer(header[: len(header) // 4 * 4], "<u4").tolist():
                blocks.append(content[offset : offset + length])
                offset += length
            if offset > len(content):
                row = (self.first_group + group) * GROUP_ROWS
                raise damage(self.path, f"it ends before rows from {row} on")
            self.append(blocks)
            self.checksums.append(zlib.crc32(content[begin:offset]))
        self.durable_groups, self.durable_bytes = groups, offset


class PackedFrames:
    """Compressed frames; the newest, unfinished group of rows is kept as it is."""

    layout = "packed"

    def __init__(self, plan: ReplayPlan, folder: Path) -> None:
        spec = plan.spec
        self._folder = folder
        self._lanes = spec.lanes
        self._retained_rows = spec.retained_rows
        self._headroom_rows = spec.headroom_rows
        self._segment_groups = max(1, _SEGMENT_FRAMES // (GROUP_ROWS * spec.lanes))
        self._segments: dict[int, _Segment] = {}
        self._tail = np.zeros((spec.lanes, GROUP_ROWS, spec.frame_items), spec.frame_dtype)
        self._tail_group = 0
        self._scratch = self._tail[:0]
        self._checkpoint_oldest = 0

    def put(self, row: int, frames: np.ndarray) -> None:
        """Store one row, [L, F]."""
        group, place = divmod(row, GROUP_ROWS)
        self._tail_group = group
        self._tail[:, place] = frames
        if place < GROUP_ROWS - 1:
            return
        number = group // self._segment_groups
        if number not in self._segments:
            self._segments[number] = self._new_segment(number)
        self._segments[number].append(
            [lz4.block.compress(rows, store_size=False) for rows in self._tail]
        )
        first_needed = (row + 1 - self._retained_rows) // GROUP_ROWS // self._segment_groups
        while (number := next(iter(self._segments))) < first_needed:
            del self._segments[number]

    def _new_segment(self, number: int) -> _Segment:
        first_group = number * self._segment_groups
        return _Segment(first_group, self._lanes, self._path(number))

    def _path(self, number: int) -> Path:
        return self._folder / f"segment-{number:09d}.lz4"

    def gather(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` [N, F, K] with the frames `numbers`, int64 [N, K]."""
        used = numbers >= 0
        rows, lanes = np.divmod(numbers[used], self._lanes)
        groups, places = np.divmod(rows, GROUP_ROWS)
        blocks, inverse = np.unique(groups * self._lanes + lanes, return_inverse=True)
        local = np.full(numbers.shape, -1)
        local[used] = inverse * GROUP_ROWS + places
        if len(self._scratch) < len(blocks):  # kept, because fresh pages cost more than the copy
            self._scratch = np.empty((len(blocks), *self._tail.shape[1:]), self._tail.dtype)
        self._unpack(blocks.tolist())
        gather_stacks(self._scratch.reshape(-1, out.shape[1]), local, out)

    def _unpack(self, blocks: list[int]) -> None:
        """Decompress `blocks` (group * L + lane) to the front of the scratch memory [U, 4, F]."""
        size = self._tail[0].nbytes
        segment_blocks = self._segment_groups * self._lanes
        target = self._scratch.data.cast("B")
        for place, block in enumerate(blocks):
            if block // self._lanes == self._tail_group:
                self._scratch[place] = self._tail[block % self._lanes]
                continue
            packed = self._segments[block // segment_blocks].blocks[block % segment_blocks]
            frames = lz4.block.decompress(packed, uncompressed_size=size)
            target[place * size : (place + 1) * size] = frames

    def save(self, oldest: int, end: int) -> dict[str, Any]:
        """Append what is new to the segment files, sync, and remove files nobody needs."""
        groups = range(oldest // GROUP_ROWS, end // GROUP_ROWS)
        for number, segment in self._segments.items():
            if number >= groups.start // self._segment_groups:
                segment.write()
        # What the previous checkpoint refers to stays until this one is complete.
        kept_row = max(0, min(oldest - self._headroom_rows, self._checkpoint_oldest))
        kept_from = kept_row // GROUP_ROWS // self._segment_groups
        kept = set(map(self._path, range(kept_from, max(self._segments, default=-1) + 1)))
        with explain_write_errors(self._folder):
            for path in set(self._folder.glob("segment-*.lz4")) - kept:
                atomic.remove(path)
            atomic.sync_folder(self._folder)
        self._checkpoint_oldest = oldest
        checksums = [
            self._segments[group // self._segment_groups].checksums[group % self._segment_groups]
            for group in groups
        ]
        tail = self._tail[:, : end % GROUP_ROWS].copy()
        return {
            "checksum": np.array(checksums, np.uint32),
            "tail": tail,
            "segment_groups": self._segment_groups,
        }

    def load(self, oldest: int, end: int, state: Mapping[str, Any]) -> int:
        """Read rows [oldest, end); return the oldest whose segment was not removed since."""
        groups = range(oldest // GROUP_ROWS, end // GROUP_ROWS)
        expected = checked_array(state, "checksum", "uint32", (len(groups),))
        tail_shape = (self._lanes, end % GROUP_ROWS, self._tail.shape[2])
        tail = checked_array(state, "tail", str(self._tail.dtype), tail_shape)
        self._segment_groups = max(1, int(state["segment_groups"]))
        self._segments = {}
        for number in range(
            groups.start // self._segment_groups, -(-groups.stop // self._segment_groups)
        ):
            if self._path(number).is_file():
                self._segments[number] = self._read_file(number, groups, expected)
            elif self._segments or groups.stop <= (number + 1) * self._segment_groups:
                raise UserError(f"the replay file {self._path(number)} is missing; {FRESH}")
        self._tail[:, : end % GROUP_ROWS] = tail
        self._tail_group = end // GROUP_ROWS
        self._checkpoint_oldest = oldest
        return max(oldest, min(self._segments, default=0) * self._segment_groups * GROUP_ROWS)

    def _read_file(self, number: int, groups: range, expected: np.ndarray) -> _Segment:
        """Read the groups of one segment as far as they belong to the checkpoint."""
        segment = self._new_segment(number)
        begin = segment.first_group
        end = min(begin + self._segment_groups, groups.stop)
        segment.read(end - begin)
        for group in range(max(begin, groups.start), end):
            if segment.checksums[group - begin] != expected[group - groups.start]:
                raise damage(segment.path, f"rows from {group * GROUP_ROWS} on are wrong")
        return segment

    def close(self) -> None:
        """Free the frames. The files stay."""
        self._segments = {}
