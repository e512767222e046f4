"""A table of action values that grows as states are met, and the Q-learning update on it.

Legend: S states, A actions, L lanes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.errors import UserError

INITIAL_STATES = 16
MAX_STATES = 10_000_000


class QTable:
    """Q(s, a) and how often each was updated."""

    def __init__(self, num_actions: int) -> None:
        self.q = np.zeros((INITIAL_STATES, num_actions))  # [S, A]
        self.visits = np.zeros((INITIAL_STATES, num_actions), dtype=np.int64)
        self.num_states = 0  # rows in use; those after it are spare

    def require(self, state: np.ndarray) -> None:
        """Make room for the states, int64 [L].

        Raises:
            UserError: a state below 0, or so large that a table is the wrong tool.
        """
        if state.min() < 0 or state.max() >= MAX_STATES:
            raise UserError(
                f"a table holds states 0..{MAX_STATES - 1}, the environment showed "
                f"{int(state.min())}..{int(state.max())}; use dqn"
            )
        self.num_states = max(self.num_states, int(state.max()) + 1)
        while self.num_states > len(self.q):
            self.q = np.concatenate([self.q, np.zeros_like(self.q)])
            self.visits = np.concatenate([self.visits, np.zeros_like(self.visits)])

    def update(
        self,
        state: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        terminated: np.ndarray,
        next_state: np.ndarray,
        discount: float,
        power: float,
        next_legal: np.ndarray | None = None,
    ) -> np.ndarray:
        """``Q(s, a) += alpha * (r + discount * max_b Q(s', b) - Q(s, a))``, one row at a time.

        With ``alpha = 1 / n ** power`` at the n-th visit (Even-Dar and Mansour 2003, theorem 4).
        Rows see what rows before them learned.

        Args:
            state, action, next_state: int64 [L]; states that ``require`` has seen.
            reward: float [L].
            terminated: bool [L]; what follows is worth 0 there.
            discount: per step.
            power: in (0.5, 1].
            next_legal: actions b of the maximum, bool [L, A]; None for all.

        Returns:
            TD errors before each update, float64 [L].
        """
        q, visits = self.q, self.visits
        errors = np.zeros(len(state))
        for i, (s, a, r, end, after) in enumerate(
            zip(
                state.tolist(),
                action.tolist(),
                reward.tolist(),
                terminated.tolist(),
                next_state.tolist(),
                strict=True,
            )
        ):
            visits[s, a] += 1
            values = q[after] if next_legal is None else q[after][next_legal[i]]
            target = r if end else r + discount * max(values.tolist(), default=0.0)
            errors[i] = target - q[s, a]
            q[s, a] += errors[i] / visits[s, a] ** power
        return errors

    def state_dict(self) -> dict[str, Any]:
        """Values and visits of the states met."""
        n = self.num_states
        return {"q": self.q[:n].copy(), "visits": self.visits[:n].copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``. Raises UserError for another number of actions."""
        q, visits = np.asarray(state["q"]), np.asarray(state["visits"])
        require_actions(q, self.q.shape[1])
        self.num_states = 0
        if len(q):
            self.require(np.array([len(q) - 1]))
        self.q[:], self.visits[:] = 0.0, 0
        self.q[: len(q)], self.visits[: len(q)] = q, visits


def require_actions(q: np.ndarray, num_actions: int) -> None:
    """Raise UserError unless ``q`` is a table [S, ``num_actions``]."""
    if q.ndim != 2 or q.shape[1] != num_actions:
        raise UserError(
            f"this table of values has shape {q.shape}, the environment has "
            f"{num_actions} actions: it belongs to another environment"
        )
