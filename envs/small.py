"""Two small worlds with known answers, whose whole state can be saved.

``tengen/Catch``: a ball falls down a small screen and a paddle must be under it. Pixels, +1 or -1
at the end; a perfect player scores 1 always. Learned in a minute, so it serves as the smoke test of
everything that works on pixels.

``tengen/Grid``: walk from a random cell to a goal past pits on a slippery floor. Its optimal
values come from value iteration, so learned values can be compared with the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.errors import UserError, did_you_mean
from core.lanes import ObservationSpec, Step, check_actions, first_step


class _SmallLanes:
    """What both worlds share: vectorised lanes on numpy state, saved and restored whole."""

    restorable = True
    overlaps = False
    num_actions: int
    observation_spec: ObservationSpec
    _state_names: tuple[str, ...]
    STEP_LIMIT = 500
    """Agent steps after which an episode is truncated, so that no policy can stay for ever."""

    def __init__(self, num_lanes: int) -> None:
        self.num_lanes = num_lanes
        self._rng = np.random.default_rng()
        self._done = np.zeros(num_lanes, dtype=bool)
        self._age = np.zeros(num_lanes, dtype=np.int64)
        self._actions = np.zeros(num_lanes, dtype=np.int64)

    def reset(self, seed: int) -> Step:
        """Start every lane anew from ``seed``."""
        self._rng = np.random.default_rng(seed)
        self._done[:] = False
        self._age[:] = 0
        self._start(np.ones(self.num_lanes, dtype=bool))
        return first_step(self._observe())

    def send(self, actions: np.ndarray) -> None:
        """Keep the actions, int64 [L], for ``receive``."""
        self._actions = check_actions(actions, self.num_lanes, self.num_actions)

    def receive(self) -> Step:
        """Advance every lane by one step."""
        valid = ~self._done
        reward, terminated = self._advance(valid)
        self._start(~valid)
        self._age = np.where(valid, self._age + 1, 0)
        truncated = valid & ~terminated & (self._age >= self.STEP_LIMIT)
        self._done = terminated | truncated
        life_lost = np.zeros(self.num_lanes, dtype=bool)
        return Step(self._observe(), reward, terminated, truncated, life_lost, valid, ~valid)

    def state_dict(self) -> dict[str, Any]:
        """Everything: positions, what ended, and the random stream."""
        state: dict[str, Any] = {name: getattr(self, name).copy() for name in self._state_names}
        return state | {
            "done": self._done.copy(),
            "age": self._age.copy(),
            "rng": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        for name in self._state_names:
            setattr(self, name, np.asarray(state[name]).copy())
        self._done = np.asarray(state["done"]).copy()
        self._age = np.asarray(state["age"]).copy()
        self._rng.bit_generator.state = state["rng"]

    def close(self) -> None:
        """Nothing to free."""

    def _start(self, lanes: np.ndarray) -> None:
        raise NotImplementedError

    def _advance(self, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def _observe(self) -> np.ndarray:
        raise NotImplementedError


class CatchLanes(_SmallLanes):
    """A falling ball, a paddle three cells wide; actions left, stay, right."""

    HEIGHT, WIDTH = 12, 10
    num_actions = 3
    observation_spec = ObservationSpec((HEIGHT, WIDTH), "uint8", 2)
    _state_names = ("_ball", "_drift", "_paddle")

    def __init__(self, num_lanes: int) -> None:
        super().__init__(num_lanes)
        self._ball = np.zeros((num_lanes, 2), dtype=np.int64)  # row, column
        self._drift = np.zeros(num_lanes, dtype=np.int64)  # columns per row: -1, 0 or 1
        self._paddle = np.zeros(num_lanes, dtype=np.int64)

    def _start(self, lanes: np.ndarray) -> None:
        count = int(lanes.sum())
        self._ball[lanes, 0] = 0
        self._ball[lanes, 1] = self._rng.integers(0, self.WIDTH, count)
        self._drift[lanes] = self._rng.integers(-1, 2, count)
        self._paddle[lanes] = self._rng.integers(1, self.WIDTH - 1, count)

    def _advance(self, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moved = np.clip(self._paddle + self._actions - 1, 1, self.WIDTH - 2)
        self._paddle = np.where(lanes, moved, self._paddle)
        column = self._ball[:, 1] + self._drift
        bounced = (column < 0) | (column >= self.WIDTH)
        self._drift = np.where(lanes & bounced, -self._drift, self._drift)
        self._ball[:, 1] += np.where(lanes, self._drift, 0)
        self._ball[:, 0] += lanes
        ended = lanes & (self._ball[:, 0] == self.HEIGHT - 1)
        caught = np.abs(self._ball[:, 1] - self._paddle) <= 1
        return np.where(ended, np.where(caught, 1.0, -1.0), 0.0), ended

    def _observe(self) -> np.ndarray:
        screen = np.zeros((self.num_lanes, self.HEIGHT, self.WIDTH), dtype=np.uint8)
        lane = np.arange(self.num_lanes)
        for offset in (-1, 0, 1):
            screen[lane, -1, self._paddle + offset] = 128
        screen[lane, self._ball[:, 0], self._ball[:, 1]] = 255
        return screen


class GridLanes(_SmallLanes):
    """A 4x5 grid world; actions up, right, down, left; one move in ten slips sideways.

    The observation is the cell's number, int64 [L, 1]. Reaching the goal pays 1, a pit pays -1,
    both end the episode; every other move costs 0.02.
    """

    ROWS = ("....G", ".#.P.", "..#..", "P....")
    MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
    SLIP = 0.1
    STEP_COST = 0.02
    num_actions = 4
    num_states = 20
    observation_spec = ObservationSpec((1,), "int64", categories=num_states)
    _state_names = ("_cell",)

    def __init__(self, num_lanes: int) -> None:
        super().__init__(num_lanes)
        self._cell = np.zeros(num_lanes, dtype=np.int64)
        cells = "".join(self.ROWS)
        self._starts = np.array([i for i, c in enumerate(cells) if c == "."])
        self._target = np.array(
            [[self._move(cell, action) for action in range(4)] for cell in range(self.num_states)]
        )  # [states, actions]
        self._payoff = np.array([{"G": 1.0, "P": -1.0}.get(c, -self.STEP_COST) for c in cells])
        self._ends = np.array([c in "GP" for c in cells])

    def _move(self, cell: int, action: int) -> int:
        width = len(self.ROWS[0])
        row, column = np.array(divmod(cell, width)) + self.MOVES[action]
        inside = 0 <= row < len(self.ROWS) and 0 <= column < width
        return int(row * width + column) if inside and self.ROWS[row][column] != "#" else cell

    def transitions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The world as a table, for dynamic programming.

        Returns:
            probability [states, actions, states], reward on entering a state [states], and
            terminal states, bool [states].
        """
        probability = np.zeros((self.num_states, 4, self.num_states))
        for cell in range(self.num_states):
            for action in range(4):
                for turn, chance in ((0, 1 - self.SLIP), (1, self.SLIP / 2), (3, self.SLIP / 2)):
                    probability[cell, action, self._target[cell, (action + turn) % 4]] += chance
        return probability, self._payoff.copy(), self._ends.copy()

    def _start(self, lanes: np.ndarray) -> None:
        self._cell[lanes] = self._rng.choice(self._starts, int(lanes.sum()))

    def _advance(self, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        draw = self._rng.random(self.num_lanes)
        turn = np.where(draw < self.SLIP / 2, 1, np.where(draw < self.SLIP, 3, 0))
        target = self._target[self._cell, (self._actions + turn) % 4]
        self._cell = np.where(lanes, target, self._cell)
        reward = np.where(lanes, self._payoff[self._cell], 0.0)
        return reward, lanes & self._ends[self._cell]

    def _observe(self) -> np.ndarray:
        return self._cell[:, None].copy()


SMALL_WORLDS: dict[str, type[_SmallLanes]] = {
    "tengen/Catch": CatchLanes,
    "tengen/Grid": GridLanes,
}


def make_small(env_id: str, num_lanes: int) -> _SmallLanes:
    """Lanes of a small world. Raises UserError for an unknown id."""
    if env_id not in SMALL_WORLDS:
        raise UserError(f"there is no environment {env_id!r}{did_you_mean(env_id, SMALL_WORLDS)}")
    return SMALL_WORLDS[env_id](num_lanes)
