"""Lanes that take their time: each finishes what it was sent at a random later tick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.lanes import Step, check_actions, joined
from envs.small import CatchLanes


class LateLanes(CatchLanes):
    """Catch, in which a lane is busy with half of the ticks. Only the action that it was sent
    first counts; the observation of a busy lane is the one before."""

    def reset(self, seed: int) -> Step:
        self._luck = np.random.default_rng([seed, 1])
        self._games = [CatchLanes(1) for _ in range(self.num_lanes)]
        steps = [games.reset(seed + lane) for lane, games in enumerate(self._games)]
        self._shown = joined(steps)
        self._free = np.ones(self.num_lanes, dtype=bool)
        self._begun = np.zeros(self.num_lanes, dtype=np.int64)
        return self._shown

    def send(self, actions: np.ndarray) -> None:
        check_actions(actions, self.num_lanes, self.num_actions)
        self._begun = np.where(self._free, actions, self._begun)

    def receive(self) -> Step:
        self._free = self._luck.random(self.num_lanes) < 0.5
        steps = []
        for lane, games in enumerate(self._games):
            if self._free[lane]:
                games.send(self._begun[lane : lane + 1])
                steps.append(games.receive())
            else:
                no = np.zeros(1, dtype=bool)
                shown = self._shown.observation[lane : lane + 1]
                steps.append(Step(shown, np.zeros(1), no, no, no, no, no))
        self._shown = joined(steps)
        return self._shown

    def state_dict(self) -> dict[str, Any]:
        return {
            "luck": self._luck.bit_generator.state,
            "games": [games.state_dict() for games in self._games],
            "shown": self._shown.observation,
            "free": self._free,
            "begun": self._begun,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._luck.bit_generator.state = state["luck"]
        for games, saved in zip(self._games, state["games"], strict=True):
            games.load_state_dict(saved)
        self._shown.observation[:] = state["shown"]
        self._free, self._begun = np.array(state["free"]), np.array(state["begun"])
