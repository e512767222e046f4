"""Stored games played again: planes are rebuilt when they are drawn, not kept.

Legend: B rows drawn, T longest game, C planes, H W board, A actions, S words, Y symmetries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.machine.kernels import kernel
from envs.games.state import TO_MOVE, is_over


@kernel
def replay_game(
    game: Any, state: np.ndarray, options: np.ndarray, moves: np.ndarray, mask: np.ndarray
) -> int:
    """Play a game from its start; return how many moves were legal, checking every one."""
    game.new(state, options)
    for ply in range(moves.size):
        if is_over(state) or moves[ply] < 0 or moves[ply] >= mask.size:
            return ply
        game.legal(state, mask)
        if not mask[moves[ply]]:
            return ply
        game.play(state, moves[ply])
    return moves.size


@kernel
def rebuild_rows(
    game: Any, options: np.ndarray, moves: np.ndarray, plies: np.ndarray, lengths: np.ndarray,
    turns: np.ndarray, cell_maps: np.ndarray, state: np.ndarray, scratch: np.ndarray,
    cells: np.ndarray, planes: np.ndarray, handicap: np.ndarray, owners: np.ndarray,
    to_move: np.ndarray, first: int, last: int,
) -> None:  # fmt: skip
    """Rebuild rows [first, last) of a batch.

    Args:
        options: int32 [B, O], what `game.new` reads.
        moves: int16 [B, T], moves of each row's game.
        plies: int32 [B], moves before the row.
        lengths: int32 [B], moves of the whole game where its end tells who owns what, else 0.
        turns: int32 [B], the row's symmetry.
        cell_maps: int32 [Y, H W].
        state, scratch, cells: int32 [S], uint8 [C, H, W], int8 [H W], memory of this call.
        planes: out, uint8 [B, C, H, W].
        handicap: out, int32 [B].
        owners: out, int8 [B, H W], +1 the player to move, -1 the other.
        to_move: out, int8 [B].
    """
    size = cells.size
    for row in range(first, last):
        game.new(state, options[row])
        for ply in range(plies[row]):
            game.play(state, moves[row, ply])
        game.observe(state, scratch)
        handicap[row] = game.handicap(state)
        player = state[TO_MOVE]
        to_move[row] = player
        turn = turns[row]
        source = scratch.reshape(scratch.shape[0], size)
        target = planes[row].reshape(scratch.shape[0], size)
        for plane in range(scratch.shape[0]):
            for cell in range(size):
                target[plane, cell_maps[turn, cell]] = source[plane, cell]
        owners[row] = 0
        if lengths[row] > 0:
            for ply in range(plies[row], lengths[row]):
                game.play(state, moves[row, ply])
            game.owners(state, cells)
            for cell in range(size):
                if cells[cell] != 0:
                    owners[row, cell_maps[turn, cell]] = 1 if cells[cell] == player + 1 else -1
