"""Maps of a board onto itself that leave the game the same: rotations and reflections.

Legend: S symmetries, the identity first, A actions, H W board.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.games.game import Game


def symmetries(game: Game, options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return where each cell goes, int32 [S, H * W], and each action, int32 [S, A]."""
    height, width = options.shape
    grid = np.arange(height * width).reshape(height, width)
    boards = [grid]
    if game.symmetry == "mirror":
        boards.append(np.fliplr(grid))
    elif game.symmetry == "square":
        turns = range(4) if height == width else (0, 2)
        turned = [np.rot90(grid, turn) for turn in turns]
        boards = [*turned, *(np.fliplr(board) for board in turned)]
    # board[new] is the cell that comes to `new`; its inverse says where each cell goes.
    cells = np.stack([np.argsort(board.ravel()) for board in boards]).astype(np.int32)
    actions = game.actions(options)
    maps = np.tile(np.arange(actions, dtype=np.int32), (len(cells), 1))
    if game.naming == "columns":
        maps[:, :width] = cells[:, :width] % width
    elif game.naming == "points":
        maps[:, : height * width] = cells
    elif len(cells) > 1:
        raise ValueError(f"{game.name} names its own actions, so its symmetry must be 'none'")
    return cells, maps


def turn_planes(planes: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Apply one row of the cell map to planes [..., H, W]."""
    flat = planes.reshape(*planes.shape[:-2], -1)
    turned = np.empty_like(flat)
    turned[..., cells] = flat
    return turned.reshape(planes.shape)


def turn_actions(values: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Apply one row of the action map to something per action [..., A]."""
    turned = np.empty_like(values)
    turned[..., actions] = values
    return turned
