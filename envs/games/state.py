"""What every game's state has in common. A state is one flat int32 array.

    word  0        1            2        3            4       5      6  7        8 ...
          TO_MOVE  MOVE_NUMBER  OUTCOME  LAST_ACTION  HEIGHT  WIDTH  (reserved)  the game's own

Legend: S words of a state, A actions, C planes, H W board, G games.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel

TO_MOVE, MOVE_NUMBER, OUTCOME, LAST_ACTION, HEIGHT, WIDTH = 0, 1, 2, 3, 4, 5
HEADER_WORDS = 8

FIRST, SECOND = 0, 1
"""The two players, as TO_MOVE holds them."""
WIN, DRAW, LOSS, UNDECIDED = 1, 0, -1, 2
"""OUTCOME, as the first player sees it."""
NO_ACTION = -1


@kernel
def start(state: np.ndarray, height: int, width: int) -> None:
    """Zero the state and set the header of a game that begins."""
    state[:] = 0
    state[HEIGHT], state[WIDTH] = height, width
    state[OUTCOME] = UNDECIDED
    state[LAST_ACTION] = NO_ACTION


@kernel
def copy_state(source: np.ndarray, target: np.ndarray) -> None:
    """Copy a state; several times faster than numba's assignment of a whole array."""
    for word in range(source.size):
        target[word] = source[word]


@kernel
def end_turn(state: np.ndarray, action: int) -> None:
    """Count the move and hand the turn to the other player."""
    state[TO_MOVE] = 1 - state[TO_MOVE]
    state[MOVE_NUMBER] += 1
    state[LAST_ACTION] = action


@kernel
def is_over(state: np.ndarray) -> bool:
    """Tell whether the game has an outcome."""
    return state[OUTCOME] != UNDECIDED


@kernel
def winner_is(state: np.ndarray, player: int) -> None:
    """End the game in favour of a player."""
    state[OUTCOME] = WIN if player == FIRST else LOSS


# Defaults for games whose state is the header and then one word a cell: 0 empty, 1 first player,
# 2 second player.


@kernel
def legal_on_empty_cells(state: np.ndarray, mask: np.ndarray) -> None:
    """Any empty cell may be played; mask uint8 [A], one action a cell."""
    for cell in range(mask.size):
        mask[cell] = state[HEADER_WORDS + cell] == 0


@kernel
def observe_own_and_other(state: np.ndarray, planes: np.ndarray) -> None:
    """Planes [2, H, W]: stones of the player to move, stones of the other."""
    own = state[TO_MOVE] + 1
    flat = planes.reshape(2, planes.shape[1] * planes.shape[2])
    for cell in range(flat.shape[1]):
        value = state[HEADER_WORDS + cell]
        flat[0, cell] = value == own
        flat[1, cell] = value == 3 - own


@kernel
def copy_cells(state: np.ndarray, cells: np.ndarray) -> None:
    """The board as int8 [H * W]: 0 empty, 1 first player, 2 second player."""
    for cell in range(cells.size):
        cells[cell] = state[HEADER_WORDS + cell]


@kernel
def score_by_outcome(state: np.ndarray) -> int:
    """Margin for the first player in half points where a game counts none: the outcome itself."""
    return state[OUTCOME] * 2 if state[OUTCOME] != UNDECIDED else 0


@kernel
def no_handicap(state: np.ndarray) -> int:
    """Nobody is given points."""
    return 0


@kernel
def longest_line(state: np.ndarray, cell: int) -> int:
    """Length of the longest straight line of the stone at a cell, through it."""
    height, width = state[HEIGHT], state[WIDTH]
    row, column = cell // width, cell % width
    colour = state[HEADER_WORDS + cell]
    longest = 1
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        length = 1
        for sign in (-1, 1):
            r, c = row + sign * down, column + sign * right
            while 0 <= r < height and 0 <= c < width:
                if state[HEADER_WORDS + r * width + c] != colour:
                    break
                length += 1
                r, c = r + sign * down, c + sign * right
        longest = max(longest, length)
    return longest
