"""Random games to the end: what Monte-Carlo search and estimates of territory count."""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from core.machine.random_numbers import random_below
from envs.games.go.board import (
    BORDER,
    COLOUR,
    DIAGONALS,
    EMPTIES,
    EMPTIES_AT,
    EMPTY,
    KO,
    PASSES,
    ROW,
    SIZE,
    at,
    place,
    swap_empties,
)
from envs.games.go.rules import breathes, decide
from envs.games.state import TO_MOVE


@kernel
def _worth_playing(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a playout may play there: legal under simple ko, and not an eye of its own."""
    up, left = state[at(point - ROW) + COLOUR], state[at(point - 1) + COLOUR]
    down, right = state[at(point + ROW) + COLOUR], state[at(point + 1) + COLOUR]
    if up == EMPTY or left == EMPTY or right == EMPTY or down == EMPTY:
        return True
    if point == state[KO]:
        return False
    other = 3 - colour
    if up != other and left != other and right != other and down != other:
        against, edge = 0, 0
        for step in DIAGONALS:
            found = state[at(point + step) + COLOUR]
            against += found == other
            edge |= found == BORDER
        if against + edge < 2:
            return False
    return breathes(state, point, colour)


@kernel
def playout(state: np.ndarray, rng: np.ndarray, mask: np.ndarray) -> None:
    """Play uniformly at random to the end, never filling an own eye; sets OUTCOME.

    Ends by itself: repetitions longer than simple ko are cut after three moves a point. The
    history is not kept, and `mask` is not used.
    """
    limit = 3 * state[SIZE] * state[SIZE]
    empties_at = state[EMPTIES_AT]
    colour = state[TO_MOVE] + 1
    moves = 0
    while state[PASSES] < 2 and moves < limit:
        candidates = state[EMPTIES]
        found = 0
        while candidates > 0:
            slot = random_below(rng, candidates)
            point = state[np.uint64(empties_at + slot)]
            if _worth_playing(state, point, colour):
                found = point
                break
            candidates -= 1
            swap_empties(state, slot, candidates, empties_at)
        if found:
            place(state, found, colour)
            state[PASSES] = 0
        else:
            state[PASSES] += 1
            state[KO] = 0
        colour = 3 - colour
        moves += 1
    decide(state)
