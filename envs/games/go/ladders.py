"""Ladders: whether a chain that is kept in atari at every move can be caught.

The hunter may only give atari, by playing one of the two liberties; the hunted side may extend, or
take hunting chains that are in atari themselves. Within that, and the bounds below, the answer is
exact: all these moves are tried, on copies of the board. Inside the reading simple ko holds and
suicide is forbidden, whatever the game's rules; a ladder that needs more than the bounds counts as
not working.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from envs.games.go.board import (
    COLOUR,
    EMPTY,
    HEAD,
    KO_RULE,
    LIBERTIES,
    NEIGHBOURS,
    NEXT,
    PAST_AT,
    POINTS_AT,
    ROW,
    SUICIDE,
    at,
    place,
)
from envs.games.go.rules import SIMPLE, is_legal

MAX_DEPTH = 120
"""Moves of the longest line that is read; a ladder once across 19 lines has about 70."""
MAX_MOVES = 2_000
"""Moves tried for one question."""
CAUGHT, LIVES, OPEN = 0, 1, 2


@kernel
def ladder_boards(size: int) -> np.ndarray:
    """Boards for the reader to work on, int32 [MAX_DEPTH + 1, words]; one for each thread."""
    words = POINTS_AT + 8 * (size + 2) * ROW + size * size
    moves = 1 + size * size
    return np.empty((MAX_DEPTH + 1, words + moves), np.int32)


@kernel
def is_ladder_capture(
    state: np.ndarray, boards: np.ndarray, point: int, colour: int, prey: int
) -> bool:
    """Tell whether a legal move at a liberty catches a chain of two liberties in a ladder.

    Args:
        state: the position.
        boards: of `ladder_boards`.
        point: where `colour` plays.
        colour: the hunter.
        prey: a stone of the other side's chain, which has two liberties.
    """
    _set_up(state, boards[0])
    place(boards[0], point, colour)
    return not _lives(boards, prey, True)


@kernel
def is_ladder_escape(
    state: np.ndarray, boards: np.ndarray, point: int, colour: int, prey: int
) -> bool:
    """Tell whether a legal move saves an own chain in atari from being caught in a ladder.

    Args as above; `prey` is a stone of `colour`.
    """
    _set_up(state, boards[0])
    place(boards[0], point, colour)
    if boards[0][at(prey) + COLOUR] == EMPTY:  # the move killed its own chain
        return False
    return _lives(boards, prey, False)


@kernel
def _set_up(state: np.ndarray, board: np.ndarray) -> None:
    """Copy all but the game's history; the reading has rules of its own."""
    _copy(state, board)
    board[KO_RULE], board[SUICIDE] = SIMPLE, 0


@kernel
def _lives(boards: np.ndarray, prey: int, its_turn: bool) -> bool:
    """Tell whether the chain gets away from the position on the first board.

    A loop instead of recursion, which numba's cache cannot hold (numba issue 6061).
    """
    depth, moves = 0, 0
    answer = _judge(boards[0], prey, its_turn)
    while True:
        if answer != OPEN:
            if depth == 0:
                return answer == LIVES
            depth -= 1
            its_turn = not its_turn
            if (answer == LIVES) == its_turn:
                continue  # the mover has what it wants, and needs no other move
        board = boards[depth]
        point = _next_move(board)
        if point == 0:
            answer = CAUGHT if its_turn else LIVES
            continue
        if depth + 1 == len(boards) or moves == MAX_MOVES:
            answer = LIVES
            continue
        colour = board[at(prey) + COLOUR] if its_turn else 3 - board[at(prey) + COLOUR]
        if not is_legal(board, point, colour):
            answer = OPEN
            continue
        moves += 1
        depth += 1
        its_turn = not its_turn
        _copy(board, boards[depth])
        place(boards[depth], point, colour)
        answer = _judge(boards[depth], prey, its_turn)


@kernel
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    """Copy a board."""
    for word in range(source[PAST_AT]):
        target[word] = source[word]


@kernel
def _judge(board: np.ndarray, prey: int, its_turn: bool) -> int:
    """Answer what is plain to see; otherwise list the moves to try, the likeliest last."""
    first, second, liberties = few_liberties(board, prey)
    if liberties > 2 or (its_turn and liberties == 2):
        return LIVES
    if not its_turn and liberties < 2:
        return CAUGHT
    count = board[PAST_AT]
    board[count] = 0
    if its_turn:
        _list_captures(board, prey, first)
    else:
        _list_move(board, second)
    _list_move(board, first)
    return OPEN


@kernel
def _list_captures(board: np.ndarray, prey: int, extension: int) -> None:
    """List where neighbouring chains in atari can be taken, besides the extension."""
    hunter = 3 - board[at(prey) + COLOUR]
    count = board[PAST_AT]
    stone = prey
    while True:
        for step in NEIGHBOURS:
            if board[at(stone + step) + COLOUR] == hunter:
                point = atari_liberty(board, stone + step)
                known = point == 0 or point == extension
                for index in range(board[count]):
                    known |= board[count + 1 + index] == point
                if not known:
                    _list_move(board, point)
        stone = board[at(stone) + NEXT]
        if stone == prey:
            break


@kernel
def _list_move(board: np.ndarray, point: int) -> None:
    """The list begins where the board ends: its length, then points."""
    count = board[PAST_AT]
    board[count] += 1
    board[count + board[count]] = point


@kernel
def _next_move(board: np.ndarray) -> int:
    """Take the last move off the list; 0 if none is left."""
    count = board[PAST_AT]
    if board[count] == 0:
        return 0
    board[count] -= 1
    return board[count + 1 + board[count]]


@kernel
def few_liberties(state: np.ndarray, stone: int) -> tuple[int, int, int]:
    """The first two distinct liberties of a chain, 0 for none, and their number up to three."""
    first, second = 0, 0
    here = stone
    while True:
        for step in NEIGHBOURS:
            point = here + step
            if state[at(point) + COLOUR] == EMPTY and point != first and point != second:
                if second:
                    return first, second, 3
                if first:
                    second = point
                else:
                    first = point
        here = state[at(here) + NEXT]
        if here == stone:
            return first, second, (first > 0) + (second > 0)


@kernel
def atari_liberty(state: np.ndarray, stone: int) -> int:
    """The only liberty of a chain, 0 where it has several."""
    # A liberty touches four stones at the most.
    if state[at(state[at(stone) + HEAD]) + LIBERTIES] > 4:
        return 0
    first, _, liberties = few_liberties(state, stone)
    return first if liberties == 1 else 0
