"""A world that works for a while, and then fails in the second of two processes."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class FailingWorld(gymnasium.Env[np.ndarray, np.int64]):
    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)  # type: ignore[assignment]

    def __init__(self) -> None:
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: np.int64) -> Any:
        self.steps += 1
        if self.steps > 40 and os.environ.get("RANK") == "1":
            raise OSError("the second one is broken")
        return np.zeros(2, np.float32), 0.0, self.steps % 10 == 0, False, {}


gymnasium.register("Failing-v0", entry_point=FailingWorld)
