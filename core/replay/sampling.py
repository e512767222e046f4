"""What is drawn from the replay memory's rows: n-step transitions, or positions of games.

A sampler holds a memory and says which of its rows may be drawn; those here keep no state, so there
is nothing to save. Sampling by priority stands in core/replay/prioritised.py.

Legend: L lanes, B batch, K frames stacked, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.replay import kernels
from core.replay.kernels import VALID
from core.replay.ring import FrameReplay

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Transitions:
    """Transitions drawn. Observations are [B, K, *shape] with K last in memory, or [B, *shape];
    from a mirror on a GPU tensors, with K first."""

    observation: np.ndarray | Tensor
    action: np.ndarray
    """int64 [B]."""
    n_step_return: np.ndarray
    """Discounted sum of up to n rewards, float32 [B]."""
    bootstrap_discount: np.ndarray
    """discount**k for k rewards summed, 0 where the last one terminated, float32 [B]."""
    next_observation: np.ndarray | Tensor
    """The observation k steps later."""
    row: np.ndarray
    """Number of the row drawn, counted from the first ever appended, int64 [B]."""
    lane: np.ndarray
    """int64 [B]."""
    next_legal: np.ndarray | None = None
    """Legal actions in the next observation, bool [B, A]; None where no column says so."""
    legal: np.ndarray | None = None
    """Legal actions in the observation, likewise."""
    weight: np.ndarray | None = None
    """How much each counts in the loss, float32 [B]; None for all alike."""


class TransitionSampler:
    """n-step transitions, uniformly."""

    def __init__(self, replay: FrameReplay) -> None:
        self.replay = replay
        self.n_step = replay.spec.n_step
        """Rewards summed, at most the memory's own."""

    def can_sample(self, batch_size: int) -> bool:
        """Tell whether at least `batch_size` different transitions can be drawn."""
        replay, spec = self.replay, self.replay.spec
        found = kernels.count_sampleable(
            replay.columns["flags"],
            replay.window_start,
            replay.oldest,
            replay.end,
            self.n_step,
            spec.stack,
            batch_size,
        )
        return bool(found == batch_size)

    def sample(
        self, rng: np.random.Generator, batch_size: int, discount: float, clip_rewards: bool
    ) -> Transitions:
        """Draw transitions uniformly, with replacement, from those that can be drawn.

        Args:
            rng: the random stream; what is taken from it does not depend on the storage.
            batch_size: B.
            discount: per step.
            clip_rewards: replace rewards by their sign.

        Raises:
            RuntimeError: nothing can be drawn yet.
        """
        replay, spec, columns = self.replay, self.replay.spec, self.replay.columns
        n_step_return = np.empty(batch_size, np.float32)
        bootstrap_discount = np.empty(batch_size, np.float32)
        chosen = np.empty(batch_size, np.int64)
        numbers = np.empty((2, batch_size, spec.stack), np.int64)
        filled, drawn = 0, False
        while filled < batch_size:
            # Asked only where a first draw found none: counting is not free.
            if replay.window_start >= replay.end - 1 or (
                drawn and not filled and not self.can_sample(1)
            ):
                raise RuntimeError("the replay memory holds no transition that can be drawn yet")
            drawn = True
            filled = kernels.select(
                self._candidates(rng, batch_size, filled),
                filled,
                columns["flags"],
                columns["reward"],
                replay.oldest,
                replay.end,
                self.n_step,
                float(discount),
                bool(clip_rewards),
                n_step_return,
                bootstrap_discount,
                chosen,
                numbers,
            )
        row, lane = np.divmod(chosen, spec.lanes)
        observation, next_observation = replay.stacks(numbers)
        next_legal = legal = None
        if "legal" in columns:
            next_legal = replay.read("legal", numbers[1, :, -1] // spec.lanes, lane)
            legal = replay.read("legal", row, lane)
        return Transitions(
            observation,
            replay.read("action", row, lane).astype(np.int64),
            n_step_return,
            bootstrap_discount,
            next_observation,
            row,
            lane,
            next_legal,
            legal,
        )

    def _candidates(self, rng: np.random.Generator, count: int, filled: int) -> np.ndarray:
        """Up to ``count`` frame numbers (row * L + lane), int64 [N], for a batch that holds
        ``filled`` already; those that may not be drawn are passed over."""
        lanes = self.replay.spec.lanes
        low, high = self.replay.window_start * lanes, (self.replay.end - 1) * lanes
        return rng.integers(low, high, count)


@dataclass(frozen=True)
class Positions:
    """Positions drawn."""

    observation: np.ndarray | Tensor
    """[B, K, *shape] with K last in memory, or [B, *shape]."""
    action: np.ndarray
    """What was played there, int64 [B]."""
    columns: dict[str, np.ndarray]
    """The memory's own columns by name, [B, ...]."""
    row: np.ndarray
    """Number of the row drawn, counted from the first ever appended, int64 [B]."""
    lane: np.ndarray
    """int64 [B]."""


class PositionSampler:
    """Positions of finished games, uniformly: rows whose outcome is known."""

    def __init__(self, replay: FrameReplay, outcome: str) -> None:
        """``outcome`` names a column whose default is nan, amended when a game ends."""
        self.replay = replay
        self.outcome = outcome

    def _known(self) -> np.ndarray:
        """Rows times lanes of the positions that may be drawn, int64 [N]: row * L + lane."""
        replay, spec = self.replay, self.replay.spec
        rows = np.arange(replay.window_start, replay.end)
        slots = rows % replay.plan.rows
        known = ~np.isnan(replay.columns[self.outcome][slots])
        known &= replay.columns["flags"][slots] & VALID > 0
        numbers = np.flatnonzero(known) + rows[0] * spec.lanes if len(rows) else rows
        flags, oldest = replay.columns["flags"], replay.oldest
        whole: np.ndarray = numbers[kernels.have_stacks(flags, oldest, numbers, spec.stack)]
        return whole

    def can_sample(self, batch_size: int) -> bool:
        """Tell whether at least `batch_size` different positions can be drawn."""
        return len(self._known()) >= batch_size

    def sample(self, rng: np.random.Generator, batch_size: int) -> Positions:
        """Draw `batch_size` positions uniformly, with replacement.

        Raises:
            RuntimeError: no game has ended yet.
        """
        known = self._known()
        if not len(known):
            raise RuntimeError("the replay memory holds no position whose outcome is known yet")
        replay, spec = self.replay, self.replay.spec
        row, lane = np.divmod(known[rng.integers(0, len(known), batch_size)], spec.lanes)
        numbers = np.empty((batch_size, spec.stack), np.int64)
        kernels.list_stacks(replay.columns["flags"], replay.oldest, row, lane, numbers)
        return Positions(
            replay.stacks(numbers),
            replay.read("action", row, lane).astype(np.int64),
            {column.name: replay.read(column.name, row, lane) for column in spec.columns},
            row,
            lane,
        )
