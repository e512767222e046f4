"""What was seen since the last update: some ticks of all lanes.

Legend: T ticks, L lanes, N transitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.pqn.losses import lambda_returns
from core.errors import UserError
from core.lanes import ObservationSpec


class Rollout:
    """T ticks of L lanes, filled one after another."""

    def __init__(self, spec: ObservationSpec, num_lanes: int, ticks: int) -> None:
        shape = (ticks, num_lanes)
        self._columns: dict[str, np.ndarray] = {
            "observation": np.zeros((*shape, *spec.stacked_shape), spec.dtype),
            "action": np.zeros(shape, np.int64),
            "reward": np.zeros(shape),
            "terminated": np.zeros(shape, np.bool_),
            "truncated": np.zeros(shape, np.bool_),
            "valid": np.zeros(shape, np.bool_),
            "value": np.zeros(shape, np.float32),
        }
        self.ticks = ticks
        self.filled = 0
        """Ticks held."""

    def append(self, **columns: np.ndarray) -> None:
        """Add one tick: the observation [L, ...] and the values max_a Q, float [L], on which the
        actions, int64 [L], were chosen, and what came of them, all [L]."""
        for name, column in self._columns.items():
            column[self.filled] = columns[name]
        self.filled += 1

    def take(
        self, value: np.ndarray, discount: float, decay: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hand out all transitions with their returns, and start anew.

        Args:
            value: max_a Q where the last tick led to, float [L].
            discount, decay: of `lambda_returns`.

        Returns:
            Observations [N, ...], actions, int64 [N], and returns, float32 [N].
        """
        held = {name: column[: self.filled] for name, column in self._columns.items()}
        returns = lambda_returns(
            held["reward"], held["terminated"], held["truncated"], held["valid"],
            np.concatenate([held["value"], value[None]]), discount, decay,
        )  # fmt: skip
        self.filled = 0
        valid = held["valid"]
        return held["observation"][valid], held["action"][valid], returns[valid].astype(np.float32)

    def clear(self) -> None:
        """Forget all."""
        self.filled = 0

    def state_dict(self) -> dict[str, Any]:
        """The ticks held."""
        return {name: column[: self.filled].copy() for name, column in self._columns.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold these ticks. Raises UserError when they are of another rollout."""
        held = {name: np.asarray(state[name]) for name in self._columns}
        filled = {len(array) for array in held.values()}
        fits = all(
            array.shape[1:] == self._columns[name].shape[1:]
            and array.dtype == self._columns[name].dtype
            for name, array in held.items()
        )
        if not fits or len(filled) != 1 or max(filled) > self.ticks:
            raise UserError("the checkpoint's rollout is of other lanes or another length")
        self.filled = filled.pop()
        for name, array in held.items():
            self._columns[name][: self.filled] = array
