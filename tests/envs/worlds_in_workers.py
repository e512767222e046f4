"""Environments that worker processes can import: id 'tests.envs.worlds_in_workers:Noise-v0'."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

MODULE = "tests.envs.worlds_in_workers"


class Noise(gymnasium.Env[Any, Any]):
    """Random pictures, vectors or numbers, rewards and endings, from its own generator."""

    action_space = spaces.Discrete(3)

    def __init__(self, shows: str = "vector") -> None:
        self.observation_space = {
            "vector": spaces.Box(-9, 9, (3,), np.float32),
            "image": spaces.Box(0, 255, (4, 5, 3), np.uint8),
            "number": spaces.Discrete(6),
            "parts": spaces.Dict({"place": spaces.Discrete(4), "view": spaces.Box(-9, 9, (2, 2))}),
        }[shows]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        terminated, truncated = self.np_random.random(2) < 0.1
        reward = float(self.np_random.normal() + action)
        return self.observation_space.sample(), reward, bool(terminated), bool(truncated), {}


class Trouble(Noise):
    """Does in its third step what ``how`` says."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.steps = how, 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == 3 and self.how == "exit":
            os._exit(7)
        if self.steps == 3 and self.how == "raise":
            raise RuntimeError("no more")
        if self.steps == 3 and self.how == "hang":
            os.write(1, b"hanging\n")
            while True:
                time.sleep(1)
        if self.steps == 3 and self.how in ("leave threads", "leave helpers"):
            if self.how == "leave threads":
                threading.Thread(target=time.sleep, args=(600,)).start()
                sys.exit(7)
            if os.fork() == 0:  # a helper that has our files, and outlives us for a while
                os.read(os.pipe()[0], 1)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


gymnasium.register("Noise-v0", entry_point=Noise)
gymnasium.register("Trouble-v0", entry_point=Trouble)
