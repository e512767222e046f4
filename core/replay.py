"""Experience replay (Lin 1992; Mnih et al. 2015): rings of single frames, one per lane.

Row t of lane l holds frame o_t, action a_t and what it led to: raw reward r_t, terminated_t,
truncated_t; valid_t is false where the action was ignored, first_t true where o_t starts an
episode. The row after the last of an episode holds the final frame and is not valid. Where a lane
was busy its place in the row is a hole, over which stacks and returns reach:

    frame       o0     o1     o2     o3     p0     ...
    valid       yes    yes    yes    no     yes
    done               .      end                        n-step returns stop here ...
    first       yes                         yes          ... and stacks of frames there

Stacks, n-step returns and discounts are built when a batch is drawn. So a truncated episode is
bootstrapped from the frame it really ended on, and a life lost (terminated, and the episode goes
on) ends the return and not the stack.

Legend: L lanes, B batch, K frames stacked, R physical rows, F numbers in a frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import atomic
from core import replay_kernels as kernels
from core.errors import UserError
from core.replay_kernels import FIRST, HOLE, TERMINATED, TRUNCATED, VALID
from core.replay_packed import PackedFrames
from core.replay_plan import ReplayPlan, ReplaySpec, check_fits, plan_replay
from core.replay_storage import (
    FRESH,
    FrameStore,
    MappedFrames,
    RingFrames,
    check_form,
    checked_array,
    explain_write_errors,
)

__all__ = ["Batch", "FrameReplay", "ReplayPlan", "ReplaySpec", "check_fits", "plan_replay"]

_STORES: dict[str, type[RingFrames | MappedFrames | PackedFrames]] = {
    "ram": RingFrames,
    "mmap": MappedFrames,
    "packed": PackedFrames,
}
_COLUMNS = {"action": "int32", "reward": "float32", "flags": "uint8"}


@dataclass(frozen=True)
class Batch:
    """Transitions drawn. Observations are [B, K, *shape] with K last in memory, or [B, *shape]."""

    observation: np.ndarray
    action: np.ndarray
    """int64 [B]."""
    n_step_return: np.ndarray
    """Discounted sum of up to n rewards, float32 [B]."""
    bootstrap_discount: np.ndarray
    """discount**k for k rewards summed, 0 where the last one terminated, float32 [B]."""
    next_observation: np.ndarray
    """The observation k steps later."""
    row: np.ndarray
    """Number of the row drawn, counted from the first ever appended, int64 [B]."""
    lane: np.ndarray
    """int64 [B]."""
    next_legal: np.ndarray | None = None
    """Legal actions in the next observation, bool [B, A]; None where no column says so."""


class FrameReplay:
    """The newest transitions of L lanes. Identical draws whatever the storage."""

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
        self._end = 0  # rows [_oldest, _end) are held
        self._oldest = 0
        self._checkpoint_end = 0
        self.dropped = 0
        """Transitions of the restored checkpoint that had been overwritten since."""

    def _allocate(self, plan: ReplayPlan) -> None:
        self.plan = plan
        self._store: FrameStore = _STORES[plan.spec.storage](plan, self._folder)
        shape = (plan.rows, plan.spec.lanes)
        self._columns = {name: np.zeros(shape, dtype) for name, dtype in _COLUMNS.items()}
        for column in plan.spec.columns:
            self._columns[column.name] = np.zeros((*shape, *column.shape), column.dtype)

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
    ) -> None:
        """Store one tick: one transition per lane, arrays [L, ...] (see the module).

        Where ``busy``, bool [L], nothing happened; a tick in which all lanes were takes no room.
        ``more`` holds columns of the spec's, by name; None for their default.

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
        hole = np.zeros(spec.lanes, bool) if busy is None else np.asarray(busy, bool)
        first = np.asarray(first, bool)
        if self._end > self._oldest:
            before = self._columns["flags"][(self._end - 1) % self.plan.rows]
            started = before & (HOLE | FIRST) == HOLE | FIRST  # and o_t is still to come
            if hole.all() and not (first & ~started).any():
                return
            first = first | started
        self._store.put(self._end, frame.reshape(spec.lanes, spec.frame_items))
        slot = self._end % self.plan.rows
        for column in spec.columns:
            given = more.get(column.name)
            self._columns[column.name][slot] = column.default if given is None else given
        self._columns["action"][slot] = action
        self._columns["reward"][slot] = reward
        self._columns["flags"][slot] = (
            np.asarray(terminated, bool) * TERMINATED
            + np.asarray(truncated, bool) * TRUNCATED
            + np.asarray(valid, bool) * VALID
            + first * FIRST
            + hole * HOLE
        )
        self._end += 1
        self._oldest = max(self._oldest, self._end - spec.retained_rows)

    def end_episodes(self, observation: np.ndarray, **more: np.ndarray | None) -> None:
        """Close the unfinished episodes as truncated; they ended on `observation` [L, *shape].

        ``more`` is as for ``append``.
        """
        if self._end == 0:
            return
        none = np.zeros(self.spec.lanes, bool)
        self.append(observation, none, none, none, none, none, none, **more)
        flags = self._columns["flags"]
        slots = np.arange(self._oldest, self._end - 1) % self.plan.rows
        for lane in range(self.spec.lanes):
            stored = slots[flags[slots, lane] & HOLE == 0]
            if len(stored) and flags[stored[-1], lane] & VALID:
                flags[stored[-1], lane] |= TRUNCATED  # where terminated, that counts

    # ---------------------------------------------------------------- draw

    @property
    def _window_start(self) -> int:
        return max(self._oldest, self._end - self.spec.window_rows)

    @property
    def size(self) -> int:
        """Transitions held, valid or not; at most the capacity."""
        return (self._end - self._window_start) * self.spec.lanes

    @property
    def largest_size(self) -> int:
        """Transitions held when it is full: the capacity, in whole rows."""
        return self.spec.window_rows * self.spec.lanes

    def can_sample(self, batch_size: int) -> bool:
        """Tell whether at least `batch_size` different transitions can be drawn."""
        found = kernels.count_sampleable(
            self._columns["flags"],
            self._window_start,
            self._oldest,
            self._end,
            self.spec.n_step,
            self.spec.stack,
            batch_size,
        )
        return bool(found == batch_size)

    def sample(
        self, rng: np.random.Generator, batch_size: int, discount: float, clip_rewards: bool
    ) -> Batch:
        """Draw transitions uniformly, with replacement, from those that can be drawn.

        Args:
            rng: the random stream; what is taken from it does not depend on the storage.
            batch_size: B.
            discount: per step.
            clip_rewards: replace rewards by their sign.

        Raises:
            RuntimeError: nothing can be drawn yet.
        """
        spec, columns = self.spec, self._columns
        n_step_return = np.empty(batch_size, np.float32)
        bootstrap_discount = np.empty(batch_size, np.float32)
        chosen = np.empty(batch_size, np.int64)
        numbers = np.empty((2, batch_size, spec.stack), np.int64)
        low, high = self._window_start * spec.lanes, (self._end - 1) * spec.lanes
        filled = 0
        while filled < batch_size:
            if filled == 0 and not self.can_sample(1):
                raise RuntimeError("the replay memory holds no transition that can be drawn yet")
            filled = kernels.select(
                rng.integers(low, high, batch_size),
                filled,
                columns["flags"],
                columns["reward"],
                self._oldest,
                self._end,
                spec.n_step,
                float(discount),
                bool(clip_rewards),
                n_step_return,
                bootstrap_discount,
                chosen,
                numbers,
            )
        row, lane = np.divmod(chosen, spec.lanes)
        observation, next_observation = self._stacks(numbers)
        action = columns["action"][row % self.plan.rows, lane].astype(np.int64)
        next_legal = None
        if "legal" in columns:
            next_row, same_lane = np.divmod(numbers[1, :, -1], spec.lanes)
            next_legal = columns["legal"][next_row % self.plan.rows, same_lane]
        return Batch(
            observation,
            action,
            n_step_return,
            bootstrap_discount,
            next_observation,
            row,
            lane,
            next_legal,
        )

    def _stacks(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames `numbers` [2, B, K] as observations and next observations."""
        spec = self.spec
        _, batch_size, stack = numbers.shape
        out = np.empty((2, batch_size, spec.frame_items, stack), spec.frame_dtype)
        self._store.gather(numbers.reshape(-1, stack), out.reshape(-1, spec.frame_items, stack))
        shaped = out.reshape(2, batch_size, *spec.frame_shape, stack)
        views = np.moveaxis(shaped, -1, 2) if spec.is_stacked else shaped[..., 0]
        return views[0], views[1]

    # ---------------------------------------------------------------- save

    @property
    def rows_since_checkpoint(self) -> int:
        """Rows appended since the last checkpoint was taken or restored."""
        return self._end - self._checkpoint_end

    @property
    def headroom_rows(self) -> int:
        """Rows that may be appended without losing one that the last checkpoint refers to."""
        return self.plan.headroom_rows

    def checkpoint(self) -> dict[str, Any]:
        """Make the frames durable, writing only new ones; return the state to keep.

        Raises:
            UserError: the disk is full; nothing in memory changes, and a later call may succeed.
        """
        frames = self._store.save(self._oldest, self._end)
        self._checkpoint_end = self._end
        slots = np.arange(self._oldest, self._end) % self.plan.rows
        return {
            "form": self._form(),
            "oldest": self._oldest,
            "end": self._end,
            "columns": {name: column[slots] for name, column in self._columns.items()},
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
            for name, column in self._columns.items()
        }
        kept_from = self._store.load(oldest, end, state["frames"]) if end > oldest else oldest
        if kept_from == end > oldest:
            raise UserError(
                f"all {end - oldest} rows of the replay were overwritten since then; {FRESH}"
            )
        slots = np.arange(oldest, end) % self.plan.rows
        for name, column in columns.items():
            self._columns[name][slots] = column
        self._oldest, self._end, self._checkpoint_end = kept_from, end, end
        self.dropped = (kept_from - oldest) * self.spec.lanes

    def close(self) -> None:
        """Free the memory. The files stay."""
        self._store.close()
