"""Go as AlphaGo's networks see it: the planes of the value network in place of Zero's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.machine.kernels import kernel
from envs.games.go import alphago_planes
from envs.games.go.board import SIZE
from envs.games.go.game import GO
from envs.games.go.ladders import ladder_boards


@kernel
def observe(state: np.ndarray, planes: np.ndarray) -> None:
    """Write the 49 planes of a position, uint8 [49, H, W]."""
    alphago_planes.observe(state, ladder_boards(state[SIZE]), planes)


ALPHAGO_GO = replace(GO, observe=observe, planes=alphago_planes.VALUE_PLANES)
