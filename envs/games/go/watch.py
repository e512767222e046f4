"""The shapes around all empty points, kept up to date move by move.

The factor of a point's shape (`patterns.py`) is computed again only where a move changed it: next
to the stone and to what it captured, and at the liberties of chains that came to have one, two or
more.
Factors are whole numbers of 1/1024, so their sums are exact however they came about.

What is known of a position is one flat int32 array, as the position is: scratch memory of a thread.

    CLOCK, CHANGED          the time of marks; how many points the last move changed
    rows                    [2, 32]: sums of factors over the rows of the board; 0 Black, 1 White
    factors                 [2, 512]: of the shape at every point, 0 where none may play
    liberties               [512]: of a chain, at its head, 3 for more
    marks                   [2, 512]: when a point was last listed as changed, and as special
    changed                 [512]: the points that the last move changed
    special                 [64, 8]: point, weight, number of features, their places in the table
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from envs.games.go.board import (
    COLOUR,
    DIAGONALS,
    EMPTIES,
    EMPTIES_AT,
    EMPTY,
    HEAD,
    LIBERTIES,
    NEIGHBOURS,
    NEXT,
    ROW,
    SIZE,
    at,
    place,
    point_of,
)
from envs.games.go.patterns import other_colour, shape_of

GRAIN = 1024
CLOCK, CHANGED = 0, 1
MOST_SPECIAL, MOST_FEATURES = 64, 5
_STRIDE = 512
_ROW = np.uint64(ROW)
_ROWS_AT = 64
_FACTORS_AT = 128
LIBERTIES_AT = _FACTORS_AT + 2 * _STRIDE
_MARKS_AT = LIBERTIES_AT + _STRIDE
_CHANGED_AT = _MARKS_AT + 2 * _STRIDE
_SPECIAL_AT = _CHANGED_AT + _STRIDE
_WORDS = _SPECIAL_AT + 8 * MOST_SPECIAL


def make_watch() -> np.ndarray:
    """Memory for `watch_position`, for boards of any size, int32."""
    return np.zeros(_WORDS, np.int32)


# Unsigned, as in `board.py`.


@kernel
def row_at(player: int, row: int) -> int:
    """Return where the sum of a row stands, rows counted from 1."""
    return np.uint64(_ROWS_AT + (player << 5)) + np.uint64(row)  # type: ignore[return-value]


@kernel
def factor_at(player: int, point: int) -> int:
    """Return where the factor of the shape at a point stands."""
    return np.uint64(_FACTORS_AT + (player << 9) + point)  # type: ignore[return-value]


@kernel
def liberties_at(head: int) -> int:
    """Return where a chain's liberties stand."""
    return np.uint64(LIBERTIES_AT + head)  # type: ignore[return-value]


@kernel
def special_mark_at(point: int) -> int:
    """Return where it stands when a point was last listed as special."""
    return np.uint64(_MARKS_AT + _STRIDE + point)  # type: ignore[return-value]


@kernel
def special_at(index: int) -> int:
    """Return where the record of a special point begins."""
    return np.uint64(_SPECIAL_AT + (index << 3))  # type: ignore[return-value]


@kernel
def watch_position(state: np.ndarray, watch: np.ndarray, shapes: np.ndarray) -> None:
    """Compute all shapes of a position from nothing."""
    for word in range(_CHANGED_AT):
        watch[np.uint64(word)] = 0
    for cell in range(state[SIZE] * state[SIZE]):
        point = point_of(state[SIZE], cell)
        record = at(point)
        if state[record + COLOUR] != EMPTY and state[record + HEAD] == point:
            watch[liberties_at(point)] = _few_liberties(state, point)
    for cell in range(state[SIZE] * state[SIZE]):
        point = point_of(state[SIZE], cell)
        if state[at(point) + COLOUR] == EMPTY:
            _look_at(state, watch, shapes, point)


@kernel
def _few_liberties(state: np.ndarray, head: int) -> int:
    """Distinct liberties of a chain, 3 for more."""
    if state[at(head) + LIBERTIES] < 2:
        return state[at(head) + LIBERTIES]
    first, second, stone = 0, 0, head
    while True:
        for step in NEIGHBOURS:
            point = stone + step
            if state[at(point) + COLOUR] == EMPTY and point != first and point != second:
                if first == 0:
                    first = point
                elif second == 0:
                    second = point
                else:
                    return 3
        stone = state[at(stone) + NEXT]
        if stone == head:
            return 1 + (second > 0)


@kernel
def _look_at(state: np.ndarray, watch: np.ndarray, shapes: np.ndarray, point: int) -> None:
    """Compute the shape at an empty point."""
    code = shape_of(state, watch, LIBERTIES_AT, point)
    _set_factor(watch, 0, point, shapes[code])
    _set_factor(watch, 1, point, shapes[other_colour(code)])


@kernel
def _set_factor(watch: np.ndarray, player: int, point: int, factor: int) -> None:
    place = factor_at(player, point)
    watch[row_at(player, np.uint64(point) // _ROW)] += factor - watch[place]  # type: ignore[arg-type]
    watch[place] = factor


@kernel
def play_watched(
    state: np.ndarray, watch: np.ndarray, shapes: np.ndarray, point: int, colour: int
) -> int:
    """Put a stone on the board and look again where it changed something; return its captures.

    They are the last so many of the list of empty points.
    """
    fewest, most = 3, 0
    for step in NEIGHBOURS:
        if state[at(point + step) + COLOUR] == colour:
            liberties = watch[liberties_at(state[at(point + step) + HEAD])]
            fewest, most = min(fewest, liberties), max(most, liberties)
    before = state[EMPTIES]
    place(state, point, colour)
    captured = state[EMPTIES] - before + 1
    if state[at(point) + COLOUR] == EMPTY:  # suicide
        watch_position(state, watch, shapes)
        return 0
    watch[CLOCK] += 1
    watch[CHANGED] = 0
    _set_factor(watch, 0, point, 0)
    _set_factor(watch, 1, point, 0)
    _mark_around(state, watch, point)
    head = state[at(point) + HEAD]
    liberties = _few_liberties(state, head)
    watch[liberties_at(head)] = liberties
    if most and (fewest != liberties or most != liberties):
        _mark_liberties(state, watch, head)
    _recount_around(state, watch, point, 3 - colour)
    for slot in range(state[EMPTIES] - captured, state[EMPTIES]):
        free = state[state[EMPTIES_AT] + slot]
        _mark(watch, free)
        _mark_around(state, watch, free)
        _recount_around(state, watch, free, colour)
    for index in range(watch[CHANGED]):
        _look_at(state, watch, shapes, watch[np.uint64(_CHANGED_AT + index)])
    return captured


@kernel
def _mark(watch: np.ndarray, point: int) -> None:
    mark = np.uint64(_MARKS_AT + point)
    if watch[mark] != watch[CLOCK]:
        watch[mark] = watch[CLOCK]
        watch[np.uint64(_CHANGED_AT + watch[CHANGED])] = point
        watch[CHANGED] += 1


@kernel
def _mark_around(state: np.ndarray, watch: np.ndarray, point: int) -> None:
    """Mark the empty ones among the eight neighbours of a point."""
    for index in range(4):
        for near in (point + NEIGHBOURS[index], point + DIAGONALS[index]):
            if state[at(near) + COLOUR] == EMPTY:
                _mark(watch, near)


@kernel
def _mark_liberties(state: np.ndarray, watch: np.ndarray, head: int) -> None:
    stone = head
    while True:
        for step in NEIGHBOURS:
            if state[at(stone + step) + COLOUR] == EMPTY:
                _mark(watch, stone + step)
        stone = state[at(stone) + NEXT]
        if stone == head:
            break


@kernel
def _recount_around(state: np.ndarray, watch: np.ndarray, point: int, colour: int) -> None:
    """Count the liberties of a colour's chains beside a point; mark them where they changed."""
    for step in NEIGHBOURS:
        record = at(point + step)
        if state[record + COLOUR] == colour:
            head = state[record + HEAD]
            liberties = _few_liberties(state, head)
            if liberties != watch[liberties_at(head)]:
                watch[liberties_at(head)] = liberties
                _mark_liberties(state, watch, head)
