"""Lanes whose episodes are known in advance."""

from __future__ import annotations

import numpy as np

from core.lanes import ObservationSpec, Step, check_actions, first_step


class ScriptedLanes:
    """Lane i plays the (length, reward per step) pairs of script i in turn, over and over.

    Where `busy` draws True, a lane has no news.
    """

    num_actions = 2
    observation_spec = ObservationSpec((1,), "float32")
    restorable = False
    overlaps = False

    def __init__(self, scripts: list[list[tuple[int, float]]], busy: float = 0.0) -> None:
        self.scripts, self.num_lanes = scripts, len(scripts)
        self._busy, self._rng = busy, np.random.default_rng(0)

    def reset(self, seed: int) -> Step:
        self.seed = seed
        self._episode, self._time = [0] * self.num_lanes, [0] * self.num_lanes
        return first_step(np.zeros((self.num_lanes, 1), dtype=np.float32))

    def send(self, actions: np.ndarray) -> None:
        check_actions(actions, self.num_lanes, self.num_actions)

    def receive(self) -> Step:
        n = self.num_lanes
        step = Step(np.zeros((n, 1), np.float32), np.zeros(n), *(np.zeros((5, n), bool)))
        for lane, script in enumerate(self.scripts):
            if self._rng.random() < self._busy:
                continue
            length, reward = script[self._episode[lane] % len(script)]
            if self._time[lane] == length:
                self._episode[lane] += 1
                self._time[lane] = 0
                step.first[lane] = True
                continue
            self._time[lane] += 1
            step.valid[lane] = True
            step.reward[lane] = reward
            if self._time[lane] == length:
                ended = step.truncated if self._episode[lane] % 2 else step.terminated
                ended[lane] = True
            else:
                step.life_lost[lane] = self._time[lane] % 2 == 0
        return step

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: object) -> None:
        raise AssertionError

    def close(self) -> None:
        pass


class Idle:
    """Action 0 always."""

    def __init__(self, num_lanes: int) -> None:
        self.num_lanes = num_lanes

    def act(self, step: Step) -> np.ndarray:
        return np.zeros(self.num_lanes, dtype=np.int64)
