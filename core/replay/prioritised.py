"""Prioritised experience replay, the proportional kind: Schaul et al. 2016, arXiv 1511.05952.

Transition i is drawn with probability P(i) = p_i^alpha / sum_k p_k^alpha (equation 1), and its loss
is weighted by w_i = P(i)^-beta, divided by the largest of the batch (section 3.4 and algorithm 1;
N, which stands in both, cancels out). What was never drawn has the largest priority so far.

The leaves of the tree are the rows of the memory's window: row t of lane l is leaf
(t % W) * L + l, so a new row takes the place of the one that leaves the window. The sampler sees by
itself which rows are new. A row that cannot be drawn (yet) is drawn and passed over: what is left
has the probabilities above, whose common factor cancels as N does.

Legend: W rows of the window, L lanes, B batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from core.errors import UserError
from core.replay.kernels import VALID
from core.replay.ring import FrameReplay
from core.replay.sampling import Transitions, TransitionSampler
from core.replay.storage import FRESH, checked_array
from core.replay.sum_tree import empty_tree, find_leaves, leaves_of, set_leaves

LEAST_PRIORITY = 1e-6
"""Added to every priority, so that each may be drawn (section 3.3)."""


class PrioritisedSampler(TransitionSampler):
    """n-step transitions, in proportion to a power of their priorities."""

    def __init__(self, replay: FrameReplay, exponent: float) -> None:
        """``exponent`` is alpha, 0 for uniform."""
        super().__init__(replay)
        self.exponent = exponent
        self.beta = 1.0
        """How far the weights make up for unequal chances, 0 to 1."""
        self.largest = 1.0
        """The largest priority so far."""
        self._tree = empty_tree(replay.largest_size)
        self._end = 0  # rows [window, _end) have their priorities

    def sample(
        self, rng: np.random.Generator, batch_size: int, discount: float, clip_rewards: bool
    ) -> Transitions:
        """As `TransitionSampler.sample`, in proportion to the priorities, and with weights."""
        self._see_new_rows()
        drawn = super().sample(rng, batch_size, discount, clip_rewards)
        weight = leaves_of(self._tree)[self._leaves(drawn.row, drawn.lane)] ** -self.beta
        return replace(drawn, weight=(weight / weight.max()).astype(np.float32))

    def update(self, rows: np.ndarray, lanes: np.ndarray, priorities: np.ndarray) -> None:
        """Give transitions that were drawn their new priorities.

        Args:
            rows, lanes: of `Transitions`, int64 [B]; rows no longer in the window are passed over.
            priorities: such as absolute TD errors, [B].

        Raises:
            ValueError: a priority that is negative or not finite.
        """
        new = np.asarray(priorities, np.float64) + LEAST_PRIORITY
        if not (np.isfinite(new) & (new > 0)).all():
            raise ValueError(f"priorities must be finite and not negative, got {priorities}")
        held = (rows >= self.replay.window_start) & (rows < self._end)
        if held.any():
            self.largest = max(self.largest, float(new[held].max()))
        set_leaves(self._tree, self._leaves(rows[held], lanes[held]), new[held] ** self.exponent)

    def _leaves(self, rows: np.ndarray, lanes: np.ndarray) -> np.ndarray:
        spec = self.replay.spec
        leaves: np.ndarray = rows % spec.window_rows * spec.lanes + lanes
        return leaves

    def _see_new_rows(self) -> None:
        """Give rows appended since the last time the largest priority, those that are no
        transitions none."""
        replay, lanes = self.replay, self.replay.spec.lanes
        first = max(self._end, replay.window_start)
        if first == replay.end:
            return
        rows = np.repeat(np.arange(first, replay.end), lanes)
        lane = np.tile(np.arange(lanes), replay.end - first)
        valid = replay.read("flags", rows, lane) & VALID > 0
        set_leaves(
            self._tree, self._leaves(rows, lane), np.where(valid, self.largest**self.exponent, 0.0)
        )
        self._end = replay.end

    def _candidates(self, rng: np.random.Generator, count: int, filled: int) -> np.ndarray:
        """Frame numbers, int64 [N], in proportion to the priorities.

        At first one from each of ``count`` equal parts of their sum (appendix B.2.1); parts come
        in order, so those that make up for what was passed over are drawn from all of it.
        """
        replay, spec = self.replay, self.replay.spec
        masses = rng.random(count)
        if not filled:
            masses = (np.arange(count) + masses) / count
        leaves = np.empty(count, np.int64)
        find_leaves(self._tree, masses * self._tree[1], leaves)
        slot, lane = np.divmod(leaves, spec.lanes)
        newest = replay.end - 1
        row = newest - (newest - slot) % spec.window_rows
        numbers: np.ndarray = (row * spec.lanes + lane)[row >= replay.window_start]
        return numbers

    # ---------------------------------------------------------------- save

    def state_dict(self) -> dict[str, Any]:
        """The priorities of all rows of the window, to the power of alpha."""
        self._see_new_rows()
        replay, lanes = self.replay, self.replay.spec.lanes
        rows = np.arange(replay.window_start, replay.end)[:, None]
        return {
            "start": replay.window_start,
            "end": replay.end,
            "largest": self.largest,
            "powers": leaves_of(self._tree)[self._leaves(rows, np.arange(lanes))],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the priorities of the rows that the memory, restored before, still holds.

        Raises:
            UserError: they are not those of this memory.
        """
        replay, lanes = self.replay, self.replay.spec.lanes
        start, end, largest = int(state["start"]), int(state["end"]), float(state["largest"])
        if end != replay.end or not 0 <= start <= replay.window_start:
            raise UserError(f"the checkpoint's priorities are of other rows; {FRESH}")
        powers = checked_array(state, "powers", "float64", (end - start, lanes))
        powers = powers[replay.window_start - start :].reshape(-1)
        rows = np.repeat(np.arange(replay.window_start, end), lanes)
        lane = np.tile(np.arange(lanes), end - replay.window_start)
        valid = replay.read("flags", rows, lane) & VALID > 0
        set_leaves(self._tree, self._leaves(rows, lane), powers)
        total = self._tree[1]
        if not (np.array_equal(powers > 0, valid) and total < np.inf and 0 < largest < np.inf):
            raise UserError(f"the checkpoint's priorities are not those of its rows; {FRESH}")
        self.largest, self._end = largest, end
