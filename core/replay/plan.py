"""What a replay memory will take, and whether the machine has it."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]

from core.errors import UserError

STORAGES = ("ram", "mmap", "packed")

_COLUMN_BYTES = 9
"""Per transition: action (int32), reward (float32), flags (uint8)."""
_CHECKSUM_BYTES = 4
"""Per row."""
_SPARE_ROWS = 4
"""Rows that may still be appended between running out of headroom and the next checkpoint."""
_PACKED_RATIO = 6
"""A plan for images to be on the safe side of: 8 to 50 on the games in replay_packed."""
_PACKED_OVERHEAD = 16
"""Bytes per packed frame: a bytes object, its place in a list and its length, for four."""
_RESERVED_BYTES = 512 << 20
"""Memory left for networks, environments and the rest of the process."""


@dataclass(frozen=True)
class Column:
    """One more thing that every row keeps of each lane."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    default: float = 0.0
    """Stands where ``append`` is told nothing."""


def legal_column(num_actions: int) -> Column:
    """Which actions are legal in the observation of a row: samplers look for this name."""
    return Column("legal", "bool", (num_actions,), default=True)


@dataclass(frozen=True)
class ReplaySpec:
    """The size and form of a replay memory."""

    capacity: int
    """Transitions over all lanes that can be held."""
    lanes: int
    frame_shape: tuple[int, ...]
    """Shape of one frame: (84, 84), or (4,) for a vector observation."""
    frame_dtype: str
    """'uint8', 'float32' or 'int64'."""
    stack: int
    """Frames per observation; a vector observation with stack 1 has no stack axis."""
    n_step: int
    storage: str
    """'ram', 'mmap' or 'packed'."""
    headroom: int = 0
    """Extra transitions kept on disk, so that rows a checkpoint refers to survive until the next
    one."""
    durable: bool = True
    """Whether checkpoints will hold the memory; else only 'mmap' needs a disk."""
    columns: tuple[Column, ...] = ()
    """What every row keeps besides."""

    @property
    def column_bytes(self) -> int:
        """Bytes per transition in the columns of this memory's own."""
        return sum(
            math.prod(column.shape) * np.dtype(column.dtype).itemsize for column in self.columns
        )

    @property
    def frame_items(self) -> int:
        """Numbers in one frame."""
        return math.prod(self.frame_shape)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return self.frame_items * np.dtype(self.frame_dtype).itemsize

    @property
    def window_rows(self) -> int:
        """Rows (one transition per lane) of which transitions are sampled."""
        return self.capacity // self.lanes

    @property
    def retained_rows(self) -> int:
        """Rows whose frames are needed: the window, and what its oldest stacks reach back to."""
        return self.window_rows + self.stack - 1

    @property
    def headroom_rows(self) -> int:
        """Rows that may be appended without losing one that the last checkpoint refers to."""
        return -(-self.headroom // self.lanes)

    @property
    def is_stacked(self) -> bool:
        """True when an observation has a stack axis."""
        return self.stack > 1 or len(self.frame_shape) > 1


@dataclass(frozen=True)
class ReplayPlan:
    """What was chosen and what it takes. `text` says it in one line."""

    spec: ReplaySpec
    rows: int
    """Rows of the ring in memory, one transition per lane each."""
    file_rows: int
    """Rows of the ring on disk; 'mmap' has one ring for both."""
    memory_bytes: int
    disk_bytes: int
    text: str

    @property
    def headroom_rows(self) -> int:
        """Rows that may be appended without losing one that the last checkpoint refers to."""
        return self.file_rows - self.spec.retained_rows - _SPARE_ROWS

    def could_have_rows(self, rows: Any) -> bool:
        """Whether a ring of so many rows on disk holds as much, with less headroom."""
        smallest = self.spec.retained_rows + _SPARE_ROWS
        return type(rows) is int and smallest <= rows < self.file_rows

    def with_file_rows(self, rows: int) -> ReplayPlan:
        """The same with another ring on disk."""
        in_memory = rows if self.spec.storage == "mmap" else self.rows
        return replace(self, file_rows=rows, rows=in_memory)


def plan_replay(spec: ReplaySpec) -> ReplayPlan:
    """Work out what `spec` takes, without taking it.

    Raises:
        UserError: the storage is unknown, or the capacity holds no n-step transition.
    """
    if spec.storage not in STORAGES:
        raise UserError(f"unknown --replay {spec.storage!r}; choose one of {', '.join(STORAGES)}")
    if min(spec.lanes, spec.stack, spec.n_step) < 1 or spec.headroom < 0:
        raise ValueError(f"lanes, stack and n_step must be positive, headroom not negative: {spec}")
    if spec.window_rows <= spec.n_step:
        raise UserError(
            f"--replay-capacity {spec.capacity} is too small for {spec.lanes} lanes and"
            f" {spec.n_step}-step returns; use at least {(spec.n_step + 1) * spec.lanes}"
        )
    file_rows = spec.retained_rows + spec.headroom_rows + _SPARE_ROWS
    rows = file_rows
    if spec.storage != "mmap":  # in memory until the next checkpoint, then only what is needed
        rows = max(spec.retained_rows, spec.headroom_rows) + _SPARE_ROWS
    frame = spec.frame_bytes
    if spec.storage == "packed":
        ratio = _PACKED_RATIO if spec.frame_dtype == "uint8" and len(spec.frame_shape) > 1 else 1
        frame = spec.frame_bytes // ratio + _PACKED_OVERHEAD
    memory = rows * spec.lanes * (_COLUMN_BYTES + spec.column_bytes) + file_rows * _CHECKSUM_BYTES
    memory += 0 if spec.storage == "mmap" else rows * spec.lanes * frame
    disk = file_rows * (spec.lanes * frame + _CHECKSUM_BYTES)
    if not spec.durable and spec.storage != "mmap":
        disk = 0
    about = "about " if spec.storage == "packed" else ""
    text = (
        f"replay: {spec.storage}, {spec.capacity:,} transitions,"
        f" {about}{_size(memory)} of memory, {about}{_size(disk)} of disk"
    )
    return ReplayPlan(spec, rows, file_rows, memory, disk, text)


def check_fits(
    plan: ReplayPlan,
    folder: Path,
    available_memory: int | None = None,
    free_disk: int | None = None,
) -> None:
    """Check that memory and disk suffice for `plan`.

    Args:
        plan: from `plan_replay`.
        folder: where the files will lie; need not exist. What it holds already counts as free.
        available_memory: bytes; None to ask the system.
        free_disk: bytes; None to ask the system.

    Raises:
        UserError: what is missing, the largest capacity that fits, and the storages that fit.
    """
    memory = read_available_memory() if available_memory is None else available_memory
    memory = max(memory - _RESERVED_BYTES, memory // 2)
    disk = shutil.disk_usage(_existing(folder)).free if free_disk is None else free_disk
    disk += _allocated(folder)
    if _fits(plan, memory, disk):
        return
    need, have, what = plan.memory_bytes, memory, "memory"
    if need <= have:
        need, have, what = plan.disk_bytes, disk, "disk space"
    advice = []
    largest = _largest_capacity(plan.spec, memory, disk)
    if largest:
        advice.append(f"--replay-capacity {largest}")
    for storage in STORAGES:
        other = plan_replay(replace(plan.spec, storage=storage))
        if _fits(other, memory, disk):
            advice.append(f"--replay {storage}")
    raise UserError(
        f"--replay {plan.spec.storage} with {plan.spec.capacity:,} transitions needs"
        f" {_size(need)} of {what}, {_size(have)} can be used; "
        + (f"try {' or '.join(advice)}" if advice else f"free some {what}")
    )


def _fits(plan: ReplayPlan, memory: int, disk: int) -> bool:
    return plan.memory_bytes <= memory and plan.disk_bytes <= disk


def _largest_capacity(spec: ReplaySpec, memory: int, disk: int) -> int:
    """Return the largest capacity that fits, in two digits at most; 0 if none does."""
    low, high = (spec.n_step + 1) * spec.lanes - 1, spec.capacity
    smallest = low + 1
    while high - low > 1:
        middle = (low + high) // 2
        fits = _fits(plan_replay(replace(spec, capacity=middle)), memory, disk)
        low, high = (middle, high) if fits else (low, middle)
    unit: int = 10 ** max(0, len(str(low)) - 2)
    rounded = low // unit * unit
    return rounded if rounded >= smallest else 0


def read_available_memory(
    membership: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> int:
    """Return the bytes of memory this process may still take: the system's and its cgroups' limits.

    Args:
        membership: the file that lists the control groups of this process (Linux).
        mount: where the control groups are mounted.
    """
    available = int(psutil.virtual_memory().available)
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return available
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = mount, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = mount / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.lstrip("/")
        # A container may see its own group as the root, so the listed path need not be there.
        for level in (group, *group.parents):
            if level.is_relative_to(root):
                available = min(available, _left_in_group(level, *names))
    return max(0, available)


def _left_in_group(group: Path, limit: str, usage: str, cache: str) -> int:
    """Return the bytes left in one control group; cached file pages can be dropped, so are free."""
    unlimited = 1 << 62
    try:
        total = (group / limit).read_text().strip()
        used = int((group / usage).read_text())
        fields = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return unlimited if total == "max" else int(total) - used + int(fields.get(cache, 0))
    except (OSError, ValueError):
        return unlimited


def _existing(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _allocated(folder: Path) -> int:
    """Return the bytes of disk that the files in `folder` take already."""
    if not folder.is_dir():
        return 0
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir() if path.is_file())


def _size(number: int) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"
