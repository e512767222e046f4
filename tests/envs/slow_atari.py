"""A slow Atari lane to compare with: one emulator, stepped frame by frame in Python."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import ale_py
import numpy as np
from ale_py import ALEInterface, roms

FRAMES = 4


@dataclass(frozen=True)
class SlowStep:
    """What one tick of one lane gave."""

    frame: np.ndarray
    reward: float
    over: bool
    lives: int
    valid: bool


class SlowAtari:
    """Frame skip 4, maximum of the last two frames, area resize, NEXT_STEP autoreset."""

    def __init__(self, rom: str, sticky: float, seed: int, side: int = 84) -> None:
        self.side = side
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.ale = ALEInterface()
        self.ale.setFloat("repeat_action_probability", sticky)
        self.ale.setInt("random_seed", seed)
        path = roms.get_rom_path(rom)
        assert path is not None
        self.ale.loadROM(path)
        self.actions = self.ale.getMinimalActionSet()

    def reset(self) -> np.ndarray:
        """First frame, [side, side]."""
        self.ale.reset_game()
        return area_resize(self.ale.getScreenGrayscale(), self.side)

    def step(self, action: int) -> SlowStep:
        """One agent step, or a reset if the last one ended the episode."""
        if self.ale.game_over():
            return SlowStep(self.reset(), 0.0, False, self.ale.lives(), False)
        reward, screens = 0, [self.ale.getScreenGrayscale()]
        for _ in range(FRAMES):
            reward += self.ale.act(self.actions[action])
            screens.append(self.ale.getScreenGrayscale())
            if self.ale.game_over():
                break
        frame = area_resize(np.maximum(screens[-1], screens[-2]), self.side)
        return SlowStep(frame, float(reward), self.ale.game_over(), self.ale.lives(), True)


def area_resize(screen: np.ndarray, side: int = 84) -> np.ndarray:
    """[H, W] to [side, side]: every output pixel is the mean of the area it covers, exactly."""
    rows, columns = (_overlap(size, side) for size in screen.shape)
    resized: np.ndarray = np.rint(rows @ screen.astype(np.float64) @ columns.T)
    return resized


@cache
def _overlap(inputs: int, outputs: int) -> np.ndarray:
    """[outputs, inputs]: the share of every input pixel in every output pixel."""
    share = np.zeros((outputs, inputs))
    size = inputs / outputs
    for i in range(outputs):
        for j in range(inputs):
            share[i, j] = max(0.0, min((i + 1) * size, j + 1) - max(i * size, j)) / size
    return share
