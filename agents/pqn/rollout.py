"""What was seen and is not learned from yet: some ticks of all lanes.

The newest tick waits for the value of what it led to, which comes with the next.

Legend: T ticks, L lanes, N transitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.pqn.losses import lambda_returns
from core.errors import UserError
from core.lanes import ObservationSpec

OF_ANOTHER = "the checkpoint's rollout is of other lanes or another length"


class Experience(NamedTuple):
    """What an update is made of."""

    observation: np.ndarray | Tensor
    """[N, ...]; a tensor where it lies on a GPU."""
    action: np.ndarray
    """int64 [N]"""
    returns: np.ndarray
    """float32 [N]"""

    def state_dict(self) -> dict[str, np.ndarray]:
        """As arrays."""
        return {name: _to_array(column) for name, column in self._asdict().items()}


class Rollout:
    """T ticks of L lanes and one more, filled one after another."""

    def __init__(
        self, spec: ObservationSpec, num_lanes: int, ticks: int, device: str = "cpu"
    ) -> None:
        """Args:
        spec: the observations, which are kept on the device where that is a GPU.
        num_lanes: L.
        ticks: T.
        device: where the network is.
        """
        shape = (ticks + 1, num_lanes)
        observation: Any = np.zeros((*shape, *spec.stacked_shape), spec.dtype)
        if torch.device(device).type != "cpu":
            observation = torch.from_numpy(observation).to(device)
        self._columns: dict[str, Any] = {
            "observation": observation,
            "action": np.zeros(shape, np.int64),
            "reward": np.zeros(shape),
            "terminated": np.zeros(shape, np.bool_),
            "truncated": np.zeros(shape, np.bool_),
            "valid": np.zeros(shape, np.bool_),
            "value": np.zeros(shape, np.float32),
        }
        self.ticks = ticks
        self.largest = ticks * num_lanes
        """Transitions that can be taken at once, T L."""
        self.filled = 0
        """Ticks held."""

    @property
    def is_full(self) -> bool:
        """T ticks can be taken."""
        return self.filled > self.ticks

    def append(self, **columns: np.ndarray | Tensor) -> None:
        """Add one tick: the observation [L, ...] and the values max_a Q, float [L], on which the
        actions, int64 [L], were chosen, and what came of them, all [L]."""
        for name, column in self._columns.items():
            given = columns[name]
            column[self.filled] = given if isinstance(column, Tensor) else np.asarray(given)
        self.filled += 1

    def take(self, discount: float, decay: float) -> Experience:
        """Hand out all transitions with their `lambda_returns`, but for those of the newest tick,
        with which the next rollout begins."""
        newest = self.filled - 1
        held = {name: column[:newest] for name, column in self._columns.items()}
        returns = lambda_returns(
            held["reward"], held["terminated"], held["truncated"], held["valid"],
            self._columns["value"][: self.filled], discount, decay,
        )  # fmt: skip
        valid = held["valid"]
        taken = Experience(
            _choose(held["observation"], valid),
            held["action"][valid],
            returns[valid].astype(np.float32),
        )
        for column in self._columns.values():
            column[0] = column[newest]
        self.filled = 1
        return taken

    def clear(self) -> None:
        """Forget all."""
        self.filled = 0

    def state_dict(self) -> dict[str, Any]:
        """The ticks held."""
        return {name: _to_array(column[: self.filled]) for name, column in self._columns.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold these ticks. Raises UserError when they are of another rollout."""
        held = {name: np.asarray(state[name]) for name in self._columns}
        filled = {len(array) for array in held.values()}
        fits = all(
            array.shape[1:] == self._columns[name].shape[1:]
            and array.dtype == _dtype(self._columns[name])
            for name, array in held.items()
        )
        if not fits or len(filled) != 1 or max(filled) > self.ticks + 1:
            raise UserError(OF_ANOTHER)
        self.filled = filled.pop()
        for name, array in held.items():
            column = self._columns[name]
            column[: self.filled] = torch.from_numpy(array) if isinstance(column, Tensor) else array

    def taken_before(self, state: Mapping[str, Any]) -> Experience | None:
        """What `take` handed out before a checkpoint that holds it; None where it holds nothing.
        Raises UserError when it is of another rollout."""
        if not state:
            return None
        if set(state) != set(Experience._fields):
            raise UserError(OF_ANOTHER)
        taken = Experience(**{name: np.asarray(array) for name, array in state.items()})
        one = _to_array(self._columns["observation"][0])
        wanted = Experience(one, np.empty(1, np.int64), np.empty(1, np.float32))
        fits = all(
            array.shape[1:] == like.shape[1:] and array.dtype == like.dtype and array.ndim
            for array, like in zip(taken, wanted, strict=True)
        )
        lengths = {len(array) for array in taken if array.ndim}
        if not fits or len(lengths) != 1 or max(lengths) > self.largest:
            raise UserError(OF_ANOTHER)
        return taken


def _choose(column: Any, valid: np.ndarray) -> Any:
    """A copy of what is valid, bool [T, L], of a column [T, L, ...]."""
    if isinstance(column, np.ndarray):
        return column[valid]
    rows = torch.from_numpy(np.flatnonzero(valid)).to(column.device)
    return column.flatten(0, 1).index_select(0, rows)


def _to_array(column: Any) -> np.ndarray:
    array: np.ndarray = column.cpu().numpy() if isinstance(column, Tensor) else column
    return array.copy()


def _dtype(column: Any) -> np.dtype[Any]:
    return _to_array(column[:0]).dtype
