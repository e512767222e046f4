"""Moves near the previous one, and what they have beyond their shape (Silver et al. 2016, table 4).

response, answer      in the diamond of twelve points around it, and which answer it is
touches, diagonal     beside it (the paper tells eight directions apart, which symmetry ties)
saves                 extends or frees a chain that it put into atari
nakade                among the stones that it captured, by their number and neighbours there
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from envs.games.go.board import (
    BORDER,
    COLOUR,
    EMPTIES,
    EMPTIES_AT,
    EMPTY,
    HEAD,
    NEIGHBOURS,
    NEXT,
    ROW,
    at,
)
from envs.games.go.patterns import (
    DIAGONAL,
    DIAMOND,
    MOST_NAKADE,
    NAKADE_AT,
    RESPONSE,
    SAVES,
    TOUCHES,
    answer_place,
    diamond_of,
    turn_diamond,
)
from envs.games.go.watch import (
    CLOCK,
    MOST_FEATURES,
    MOST_SPECIAL,
    liberties_at,
    special_at,
    special_mark_at,
)

_DIAMOND_STEPS = np.array([down * ROW + right for down, right in DIAMOND])
_TWO, _THREE, _FOUR, _FIVE = (np.uint64(i) for i in range(2, 6))


@kernel
def find_special(
    state: np.ndarray, watch: np.ndarray, colour: int, previous: int, captured: int
) -> int:
    """List the points that have more features than the shape, and these; return their number.

    `previous` is the point of the other player's last move, 0 for none; `captured` the number of
    stones it took, the last so many of the list of empty points. The points may not be playable.
    """
    count = 0
    watch[CLOCK] += 1
    if previous == 0 or state[at(previous) + COLOUR] != 3 - colour:
        return count
    smallest, ways = turn_diamond(diamond_of(state, previous, colour))
    liberties = watch[liberties_at(state[at(previous) + HEAD])]
    for index in range(12):
        point = previous + _DIAMOND_STEPS[index]
        # Beyond a border the diamond wraps into another row; there it has seen a border.
        if index >= 8 and state[at(previous + NEIGHBOURS[index - 8]) + COLOUR] == BORDER:
            continue
        if state[at(point) + COLOUR] != EMPTY:
            continue
        watch[special_mark_at(point)] = watch[CLOCK]
        record = special_at(count)
        watch[record] = point
        watch[record + _TWO] = 2 + (index < 8)
        watch[record + _THREE] = RESPONSE
        watch[record + _FOUR] = answer_place(smallest, ways, index, liberties)
        watch[record + _FIVE] = TOUCHES if index < 4 else DIAGONAL
        count += 1
    for step in NEIGHBOURS:
        record = at(previous + step)
        if state[record + COLOUR] == colour and watch[liberties_at(state[record + HEAD])] == 1:
            count = _find_saves(state, watch, count, state[record + HEAD])
    if 3 <= captured <= MOST_NAKADE:
        count = _find_nakade(state, watch, count, captured)
    return count


@kernel
def _add_feature(watch: np.ndarray, count: int, point: int, feature: int) -> int:
    """Give a point a feature, unless it has it; return the number of special points."""
    record = special_at(count)
    if watch[special_mark_at(point)] == watch[CLOCK]:
        for earlier in range(count):
            if watch[special_at(earlier)] == point:
                record = special_at(earlier)
    elif count == MOST_SPECIAL:
        return count
    else:
        watch[special_mark_at(point)] = watch[CLOCK]
        watch[record] = point
        watch[record + _TWO] = 0
        count += 1
    known = watch[record + _TWO]
    for other in range(known):
        if watch[record + np.uint64(3 + other)] == feature:
            return count
    if known < MOST_FEATURES:
        watch[record + np.uint64(3 + known)] = feature
        watch[record + _TWO] = known + 1
    return count


@kernel
def _find_saves(state: np.ndarray, watch: np.ndarray, count: int, head: int) -> int:
    """A chain in atari is saved at its liberty if that breathes, or by capturing beside it."""
    enemy = 3 - state[at(head) + COLOUR]
    stone = head
    while True:
        for step in NEIGHBOURS:
            point = stone + step
            found = state[at(point) + COLOUR]
            if found == EMPTY and _extends(state, watch, point, head):
                count = _add_feature(watch, count, point, SAVES)
            elif found == enemy and watch[liberties_at(state[at(point) + HEAD])] == 1:
                liberty = _only_liberty(state, state[at(point) + HEAD])
                count = _add_feature(watch, count, liberty, SAVES)
        stone = state[at(stone) + NEXT]
        if stone == head:
            return count


@kernel
def _extends(state: np.ndarray, watch: np.ndarray, point: int, head: int) -> bool:
    """Tell whether a stone at the last liberty of a chain gives it two, captures apart."""
    colour = state[at(head) + COLOUR]
    breath = 0
    for step in NEIGHBOURS:
        record = at(point + step)
        if state[record + COLOUR] == EMPTY:
            breath += 1
        elif state[record + COLOUR] == colour and state[record + HEAD] != head:
            breath += watch[liberties_at(state[record + HEAD])] - 1
    return breath >= 2


@kernel
def _only_liberty(state: np.ndarray, head: int) -> int:
    """The liberty of a chain in atari."""
    stone = head
    while True:
        for step in NEIGHBOURS:
            if state[at(stone + step) + COLOUR] == EMPTY:
                return stone + step
        stone = state[at(stone) + NEXT]


@kernel
def _find_nakade(state: np.ndarray, watch: np.ndarray, count: int, captured: int) -> int:
    """Points that captured stones left, by their number and the neighbours among them."""
    first = state[EMPTIES_AT] + state[EMPTIES] - captured
    for index in range(captured):
        point = state[first + index]
        neighbours = 0
        for other in range(captured):
            distance = abs(state[first + other] - point)
            neighbours += distance == 1 or distance == ROW
        feature = NAKADE_AT + (captured - 3) * 5 + neighbours
        count = _add_feature(watch, count, point, feature)
    return count
