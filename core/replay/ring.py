"""Experience replay (Lin 1992; Mnih et al. 2015): rings of single frames, one per lane.

Row t of lane l holds frame o_t, action a_t and what it led to: raw reward r_t, terminated_t,
truncated_t; valid_t is false where the action was ignored, first_t true where o_t starts an
episode. The row after the last of an episode holds the final frame and is not valid. Where a lane
was busy its place in the row is a hole, over which stacks and returns reach:

    frame       o0     o1     o2     o3     p0     ...
    valid       yes    yes    yes    no     yes
    done               .      end                        n-step returns stop here ...
    first       yes                         yes          ... and stacks of frames there

Stacks, n-step returns and discounts are built when a batch is drawn (core/replay/sampling.py). So a
truncated episode is bootstrapped from the frame it really ended on, and a life lost (terminated,
and the episode goes on) ends the return and not the stack.

Legend: L lanes, B batch, K frames stacked, R physical rows, F numbers in a frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.files import atomic
from core.replay.kernels import FIRST, HOLE, TERMINATED, TRUNCATED, VALID
from core.replay.packed import PackedFrames
from core.replay.plan import ReplayPlan, ReplaySpec, check_fits, plan_replay
from core.replay.storage import (
    FRESH,
    FrameStore,
    MappedFrames,
    RingFrames,
    check_form,
    checked_array,
    explain_write_errors,
)

if TYPE_CHECKING:
    from torch import Tensor

    from core.replay.on_device import DeviceFrames

__all__ = ["FrameReplay", "ReplayPlan", "ReplaySpec", "check_fits", "plan_replay"]

_STORES: dict[str, type[RingFrames | MappedFrames | PackedFrames]] = {
    "ram": RingFrames,
    "mmap": MappedFrames,
    "packed": PackedFrames,
}
_MIRRORED_BYTES = 64 << 20
"""Frames that are copied to a mirror at once."""
_COLUMNS = {"action": "int32", "reward": "float32", "flags": "uint8"}


class FrameReplay:
    """The newest rows of L lanes, whatever the storage; samplers draw from them."""

    def __init__(self, spec: ReplaySpec, folder: Path) -> None:
        """Args:
            spec: size and form.
            folder: holds the files; created.

        Raises:
            UserError: the folder cannot be created.
        """
        self.spec = spec
        self._folder = folder
        with explain_write_errors(folder):
            atomic.make_folder(folder)
        self._allocate(plan_replay(spec))
        self.end = 0
        """Rows [oldest, end) are held, counted from the first ever appended."""
        self.oldest = 0
        self._checkpoint_end = 0
        self.dropped = 0
        """Transitions of the restored checkpoint that had been overwritten since."""
        self._mirror: DeviceFrames | None = None

    def mirror(self, frames: DeviceFrames) -> None:
        """Keep the frames there too, and draw observations from there."""
        self._mirror = frames
        self._fill_mirror()

    def _fill_mirror(self) -> None:
        if self._mirror is None:
            return
        spec = self.spec
        at_once = max(1, _MIRRORED_BYTES // (spec.lanes * spec.frame_bytes))
        for row in range(self.oldest, self.end, at_once):
            rows = min(at_once, self.end - row)
            numbers = np.arange(row * spec.lanes, (row + rows) * spec.lanes)[:, None]
            out = np.empty((len(numbers), spec.frame_items, 1), spec.frame_dtype)
            self._store.gather(numbers, out)
            self._mirror.put(row, out.reshape(rows, spec.lanes, spec.frame_items))

    def _allocate(self, plan: ReplayPlan) -> None:
        self.plan = plan
        self._store: FrameStore = _STORES[plan.spec.storage](plan, self._folder)
        shape = (plan.rows, plan.spec.lanes)
        self.columns = {name: np.zeros(shape, dtype) for name, dtype in _COLUMNS.items()}
        for column in plan.spec.columns:
            self.columns[column.name] = np.zeros((*shape, *column.shape), column.dtype)

    # ---------------------------------------------------------------- add

    def append(
        self,
        frame: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        valid: np.ndarray,
        first: np.ndarray,
        busy: np.ndarray | None = None,
        **more: np.ndarray | None,
    ) -> int:
        """Store one tick: one transition per lane, arrays [L, ...] (see the module).

        Where ``busy``, bool [L], nothing happened; a tick in which all lanes were takes no room.
        ``more`` holds columns of the spec's, by name; None for their default.

        Returns:
            The number of the row, counted from the first ever appended.

        Raises:
            ValueError: a frame of another shape or kind.
            UserError: the disk is full (storage 'mmap'); the memory is as before.
        """
        spec = self.spec
        frame = np.asarray(frame)
        if frame.shape != (spec.lanes, *spec.frame_shape) or not np.can_cast(
            frame.dtype, spec.frame_dtype, "same_kind"
        ):
            raise ValueError(
                f"frames must be {spec.frame_dtype} {(spec.lanes, *spec.frame_shape)},"
                f" got {frame.dtype} {frame.shape}"
            )
        hole, first = np.asarray(False if busy is None else busy), np.asarray(first, bool)
        before = self.columns["flags"][(self.end - 1) % self.plan.rows]
        if self.end > self.oldest and (hole.any() or (before & HOLE).any()):
            started = before & (HOLE | FIRST) == HOLE | FIRST  # and o_t is still to come
            if hole.all() and not (first & ~started).any():
                return self.end - 1
            first = first | started
        self._store.put(self.end, frame.reshape(spec.lanes, spec.frame_items))
        if self._mirror is not None:
            self._mirror.put(self.end, frame[None])
        slot = self.end % self.plan.rows
        for column in spec.columns:
            given = more.get(column.name)
            self.columns[column.name][slot] = column.default if given is None else given
        self.columns["action"][slot] = action
        self.columns["reward"][slot] = reward
        self.columns["flags"][slot] = (
            np.asarray(terminated, bool) * TERMINATED
            + np.asarray(truncated, bool) * TRUNCATED
            + np.asarray(valid, bool) * VALID
            + first * FIRST
            + hole * HOLE
        )
        self.end += 1
        self.oldest = max(self.oldest, self.end - spec.retained_rows)
        return self.end - 1

    def amend(
        self, rows: np.ndarray, lanes: np.ndarray, column: str, values: np.ndarray | float
    ) -> None:
        """Write what became known later, such as the outcome of a game, into one column.

        Args:
            rows: numbers of rows, int64 [N]; those that are no longer held are passed over.
            lanes: int64 [N].
            column: a column of the spec's.
            values: [N, ...], or one for all.

        Raises:
            ValueError: a row that was not appended yet, or a column that is not the spec's own.
        """
        if column not in (own.name for own in self.spec.columns):
            raise ValueError(f"the replay memory has no column {column!r} to amend")
        rows, lanes = np.broadcast_arrays(rows, lanes)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.end:
            raise ValueError(
                f"rows 0..{self.end - 1} were appended, not {rows.min()}..{rows.max()}"
            )
        held = rows >= self.oldest
        target = self.columns[column]
        values = np.broadcast_to(values, (len(rows), *target.shape[2:]))
        target[rows[held] % self.plan.rows, lanes[held]] = values[held]

    def end_episodes(self, observation: np.ndarray, **more: np.ndarray | None) -> None:
        """Close the unfinished episodes as truncated; they ended on `observation` [L, *shape].

        ``more`` is as for ``append``.
        """
        if self.end == 0:
            return
        none = np.zeros(self.spec.lanes, bool)
        self.append(observation, none, none, none, none, none, none, **more)
        flags = self.columns["flags"]
        slots = np.arange(self.oldest, self.end - 1) % self.plan.rows
        for lane in range(self.spec.lanes):
            stored = slots[flags[slots, lane] & HOLE == 0]
            if len(stored) and flags[stored[-1], lane] & VALID:
                flags[stored[-1], lane] |= TRUNCATED  # where terminated, that counts

    # ---------------------------------------------------------------- what is held

    @property
    def window_start(self) -> int:
        """The oldest row that may be drawn; those before it are for its stack of frames."""
        return max(self.oldest, self.end - self.spec.window_rows)

    @property
    def size(self) -> int:
        """Transitions held, valid or not; at most the capacity."""
        return (self.end - self.window_start) * self.spec.lanes

    @property
    def largest_size(self) -> int:
        """Transitions held when it is full: the capacity, in whole rows."""
        return self.spec.window_rows * self.spec.lanes

    def read(self, column: str, rows: np.ndarray, lanes: np.ndarray) -> np.ndarray:
        """The column's values at places that are held, [B, ...]; `rows` and `lanes` are [B]."""
        values: np.ndarray = self.columns[column][rows % self.plan.rows, lanes]
        return values

    def stacks(self, numbers: np.ndarray) -> np.ndarray | Tensor:
        """Observations, [..., K, *shape] with K last in memory, or [..., *shape]; from a mirror
        tensors, with K first.

        Args:
            numbers: which frames (row * L + lane), int64 [..., K]; -1 for a blank.
        """
        if self._mirror is not None:
            return self._mirror.stacks(numbers)
        spec = self.spec
        *batch, stack = numbers.shape
        out = np.empty((math.prod(batch), spec.frame_items, stack), spec.frame_dtype)
        self._store.gather(numbers.reshape(-1, stack), out)
        shaped = out.reshape(*batch, *spec.frame_shape, stack)
        stacked: np.ndarray = shaped[..., 0]
        if spec.is_stacked:
            stacked = np.moveaxis(shaped, -1, len(batch))
        return stacked

    # ---------------------------------------------------------------- save

    @property
    def rows_since_checkpoint(self) -> int:
        """Rows appended since the last checkpoint was taken or restored."""
        return self.end - self._checkpoint_end

    @property
    def headroom_rows(self) -> int:
        """Rows that may be appended without losing one that the last checkpoint refers to."""
        return self.plan.headroom_rows

    def checkpoint(self) -> dict[str, Any]:
        """Make the frames durable, writing only new ones; return the state to keep.

        Raises:
            UserError: the disk is full; nothing in memory changes, and a later call may succeed.
        """
        frames = self._store.save(self.oldest, self.end)
        self._checkpoint_end = self.end
        slots = np.arange(self.oldest, self.end) % self.plan.rows
        return {
            "form": self._form(),
            "oldest": self.oldest,
            "end": self.end,
            "columns": {name: column[slots] for name, column in self.columns.items()},
            "frames": frames,
        }

    def _form(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the memory it is restored into."""
        spec = self.spec
        return {
            "layout": self._store.layout,
            "rows": self.plan.file_rows,
            "lanes": spec.lanes,
            "frame_shape": list(spec.frame_shape),
            "frame_dtype": spec.frame_dtype,
            "columns": [f"{c.name} {c.dtype} {list(c.shape)}" for c in spec.columns],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Fill this new, empty memory as `checkpoint` described; `dropped` says what it lacks.

        Raises:
            UserError: another form of memory, or files that are missing or damaged.
        """
        form = state.get("form")
        if isinstance(form, Mapping) and self.plan.could_have_rows(form.get("rows")):
            self._allocate(
                self.plan.with_file_rows(form["rows"])
            )  # of a version with less headroom
        if isinstance(form, Mapping):
            form = {"columns": [], **form}  # which earlier versions did not know
        check_form(form, self._form())
        oldest, end = int(state["oldest"]), int(state["end"])
        if not 0 <= oldest <= end <= oldest + self.plan.rows:
            raise UserError(f"the checkpoint's replay has impossible rows {oldest}..{end}; {FRESH}")
        shape = (end - oldest, self.spec.lanes)
        columns = {
            name: checked_array(state["columns"], name, str(column.dtype), shape + column.shape[2:])
            for name, column in self.columns.items()
        }
        kept_from = self._store.load(oldest, end, state["frames"]) if end > oldest else oldest
        if kept_from == end > oldest:
            raise UserError(
                f"all {end - oldest} rows of the replay were overwritten since then; {FRESH}"
            )
        slots = np.arange(oldest, end) % self.plan.rows
        for name, column in columns.items():
            self.columns[name][slots] = column
        self.oldest, self.end, self._checkpoint_end = kept_from, end, end
        self.dropped = (kept_from - oldest) * self.spec.lanes
        self._fill_mirror()

    def close(self) -> None:
        """Free the memory. The files stay."""
        self._mirror = None
        self._store.close()
