"""Frames compressed without loss, in memory and in append-only segment files.

Consecutive frames are alike, so four of one lane are compressed together as one LZ4 block. Measured
on 2,400 random-play frames of 84x84 per game, 2 busy cores; bytes per frame, microseconds per frame
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
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lz4.block  # type: ignore[import-untyped]
import numpy as np

from core import atomic
from core.errors import UserError
from core.replay_kernels import gather_stacks
from core.replay_plan import ReplayPlan
from core.replay_storage import FRESH, checked_array, damage, explain_write_errors

GROUP_ROWS = 4
_SEGMENT_FRAMES = 4096


class _Segment:
    """Some groups, one after the other, in memory exactly as in the file."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.data = bytearray()
        self.begins = array("Q")
        self.lengths = array("Q")
        self.checksums = array("I")
        self.durable_bytes = 0

    def append(self, group: int, blocks: list[bytes]) -> None:
        """Add the blocks of all lanes of the next group."""
        header = np.array([len(block) for block in blocks], "<u4").tobytes()
        self._index(group, header + b"".join(blocks), [len(block) for block in blocks])

    def _index(self, group: int, record: bytes, lengths: list[int]) -> None:
        begin = len(self.data) + 4 * self.lanes
        for length in lengths:
            self.begins.append(begin)
            self.lengths.append(length)
            begin += length
        self.data += record
        self.checksums.append(zlib.crc32(record, group & 0xFFFFFFFF))

    def parse(self, content: bytes, first_group: int, groups: int) -> None:
        """Take the first `groups` groups of a file. Raises ValueError if it ends before."""
        offset = 0
        for group in range(first_group, first_group + groups):
            header = content[offset : offset + 4 * self.lanes]
            if len(header) < 4 * self.lanes:
                raise ValueError(f"it ends before row {group * GROUP_ROWS}")
            lengths = np.frombuffer(header, "<u4").tolist()
            record = content[offset : offset + len(header) + sum(lengths)]
            if len(record) < len(header) + sum(lengths):
                raise ValueError(f"it ends in row {group * GROUP_ROWS}")
            self._index(group, record, lengths)
            offset += len(record)
        self.durable_bytes = offset

    def block(self, index: int) -> memoryview:
        """Return one lane's block of one group."""
        begin = self.begins[index]
        return memoryview(self.data)[begin : begin + self.lengths[index]]


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
        self._checkpoint_oldest = 0

    def put(self, row: int, frames: np.ndarray) -> None:
        """Store one row, [L, F]."""
        group, place = divmod(row, GROUP_ROWS)
        self._tail_group = group
        self._tail[:, place] = frames
        if place < GROUP_ROWS - 1:
            return
        self._segments.setdefault(group // self._segment_groups, _Segment(self._lanes))
        self._locate(group)[0].append(
            group, [lz4.block.compress(rows, store_size=False) for rows in self._tail]
        )
        first_needed = (row + 1 - self._retained_rows) // GROUP_ROWS // self._segment_groups
        while (number := next(iter(self._segments))) < first_needed:
            del self._segments[number]

    def _locate(self, group: int) -> tuple[_Segment, int]:
        """Return the segment of a group, and the group's place in it."""
        number, place = divmod(group, self._segment_groups)
        return self._segments[number], place

    def gather(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` [N, F, K] with the frames `numbers`, int64 [N, K]."""
        rows, lanes = np.divmod(numbers, self._lanes)
        groups, places = np.divmod(rows, GROUP_ROWS)
        blocks, inverse = np.unique(groups * self._lanes + lanes, return_inverse=True)
        scratch = np.empty((len(blocks), *self._tail.shape[1:]), self._tail.dtype)  # [U, 4, F]
        for target, block in zip(scratch, blocks.tolist(), strict=True):
            if block >= 0:
                self._unpack(block // self._lanes, block % self._lanes, target)
        local = np.where(numbers < 0, -1, inverse.reshape(numbers.shape) * GROUP_ROWS + places)
        gather_stacks(scratch.reshape(-1, scratch.shape[2]), local, out)

    def _unpack(self, group: int, lane: int, target: np.ndarray) -> None:
        """Fill `target` [4, F] with the frames of one lane of one group."""
        if group == self._tail_group:
            target[:] = self._tail[lane]
            return
        segment, place = self._locate(group)
        block = segment.block(place * self._lanes + lane)
        frames = lz4.block.decompress(block, uncompressed_size=target.nbytes)
        target.reshape(-1)[:] = np.frombuffer(frames, target.dtype)

    def save(self, oldest: int, end: int) -> dict[str, Any]:
        """Append what is new to the segment files, sync, and remove files nobody needs."""
        groups = range(oldest // GROUP_ROWS, end // GROUP_ROWS)
        for number, segment in self._segments.items():
            if number >= groups.start // self._segment_groups:
                self._append_to_file(number, segment)
        # What the previous checkpoint refers to stays until this one is complete.
        kept_row = max(0, min(oldest - self._headroom_rows, self._checkpoint_oldest))
        kept_from = kept_row // GROUP_ROWS // self._segment_groups
        kept = set(map(self._path, range(kept_from, max(self._segments, default=-1) + 1)))
        with explain_write_errors(self._folder):
            for path in set(self._folder.glob("segment-*.lz4")) - kept:
                atomic.remove(path)
            atomic.sync_folder(self._folder)
        self._checkpoint_oldest = oldest
        checksums = [self._locate(group)[0].checksums[self._locate(group)[1]] for group in groups]
        tail = self._tail[:, : end % GROUP_ROWS].copy()
        return {"checksum": np.array(checksums, np.uint32), "tail": tail}

    def _path(self, number: int) -> Path:
        return self._folder / f"segment-{number:09d}.lz4"

    def _append_to_file(self, number: int, segment: _Segment) -> None:
        """Write what the file lacks. After an error the next call writes it again."""
        begin, end = segment.durable_bytes, len(segment.data)
        if begin == end:
            return
        path = self._path(number)
        with explain_write_errors(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                # Not O_APPEND: behind `begin` may lie groups of a timeline that was given up.
                offset = begin
                while offset < end:
                    offset += os.pwrite(descriptor, memoryview(segment.data)[offset:], offset)
                atomic.sync(descriptor)
            finally:
                os.close(descriptor)
        segment.durable_bytes = end

    def load(self, oldest: int, end: int, state: Mapping[str, Any]) -> int:
        """Read rows [oldest, end); return the oldest whose segment was not removed since."""
        groups = range(oldest // GROUP_ROWS, end // GROUP_ROWS)
        expected = checked_array(state, "checksum", "uint32", (len(groups),))
        tail_shape = (self._lanes, end % GROUP_ROWS, self._tail.shape[2])
        tail = checked_array(state, "tail", str(self._tail.dtype), tail_shape)
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
        path = self._path(number)
        begin = number * self._segment_groups
        end = min(begin + self._segment_groups, groups.stop)
        segment = _Segment(self._lanes)
        try:
            with atomic.open_regular(path) as file:
                segment.parse(file.read(), begin, end - begin)
        except ValueError as error:
            raise damage(path, str(error)) from None
        for group in range(max(begin, groups.start), end):
            if segment.checksums[group - begin] != expected[group - groups.start]:
                raise damage(path, f"rows from {group * GROUP_ROWS} on are wrong")
        return segment

    def close(self) -> None:
        """Free the frames. The files stay."""
        self._segments = {}
