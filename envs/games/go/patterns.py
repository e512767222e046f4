"""Local patterns of Go moves as numbers: what the rollout policy of Silver et al. 2016 sees.

Extended data table 4 of the paper lists its features. Two kinds of them are patterns:

- the shape, the eight neighbours of a move, of which adjacent chains count as having one, two or
  more liberties (the paper's non-response pattern);
- the answer, where in the diamond of twelve points around the previous move the move lies, and
  what stands there (its response pattern).

Both are codes as the player to move sees them, so they do not depend on colour; the smallest code
of the eight ways to turn the board stands for all. Codes are hashed to places in one table of
weights.

    shape   3 bits for each orthogonal neighbour (up, left, right, down), 2 for each diagonal one
            0 empty, 1 to 3 own stone whose chain has that many liberties, 4 border, 5 to 7 other's
            0 empty, 1 own stone, 2 other's stone, 3 border
    answer  2 bits for each point of the diamond, as for a diagonal neighbour
"""

from __future__ import annotations

from functools import cache

import numpy as np

from core.machine.kernels import kernel
from envs.games.go.board import BORDER, COLOUR, DIAGONALS, EMPTY, HEAD, NEIGHBOURS, WHITE, at

SHAPE_CODES = 1 << 20
_WITHIN_FOUR = ((-1, 0), (0, -1), (0, 1), (1, 0))
_WITHIN_EIGHT = (*_WITHIN_FOUR, (-1, -1), (-1, 1), (1, -1), (1, 1))
DIAMOND = (*_WITHIN_EIGHT, (-2, 0), (0, -2), (0, 2), (2, 0))
"""Points of an answer: (down, right) from the previous move."""

# Places in the table of weights. The first few belong to single features.
RESPONSE, SAVES, TOUCHES, DIAGONAL, NAKADE_AT = 0, 1, 2, 3, 4
MOST_NAKADE = 6
SHAPES_AT, SHAPE_PLACES = 1 << 15, 1 << 15
ANSWERS_AT, ANSWER_PLACES = 1 << 16, 1 << 16
TABLE_SIZE = ANSWERS_AT + ANSWER_PLACES


def _turned(point: tuple[int, int], way: int) -> tuple[int, int]:
    """A point after one of the eight turns and mirrorings around the origin."""
    down, right = point
    if way & 1:
        down = -down
    if way & 2:
        right = -right
    return (right, down) if way & 4 else (down, right)


SHAPE_TURNS = np.array(
    [[_WITHIN_EIGHT.index(_turned(p, way)) for p in _WITHIN_EIGHT] for way in range(8)], np.int64
)
"""[8, 8]: where each neighbour goes; the orthogonal ones stay among the first four."""
DIAMOND_TURNS = np.array(
    [[DIAMOND.index(_turned(p, way)) for p in DIAMOND] for way in range(8)], np.int64
)
"""[8, 12]: where each point of the diamond goes."""


def _half_diamonds() -> np.ndarray:
    """Codes of six points of the diamond after each turn, int32 [8, 2, 4096]."""
    codes = np.arange(1 << 12)
    out = np.zeros((8, 2, 1 << 12), np.int32)
    for way in range(8):
        for index in range(12):
            state = codes >> 2 * (index % 6) & 3
            out[way, index // 6] |= (state << 2 * DIAMOND_TURNS[way, index]).astype(np.int32)
    return out


_HALVES = _half_diamonds()


def _first_place(ways: int, index: int) -> int:
    """Of the places to which a set of turns, as bits, takes a point of the diamond, the first."""
    return min((int(DIAMOND_TURNS[way, index]) for way in range(8) if ways >> way & 1), default=0)


_FIRST_PLACES = np.array(
    [[_first_place(ways, index) for index in range(12)] for ways in range(256)]
)


@kernel
def shape_of(state: np.ndarray, watch: np.ndarray, liberties_at: int, point: int) -> int:
    """The shape around an empty point as Black sees it.

    From `liberties_at` on `watch` holds the liberties of chains, 1 to 3, at their heads.
    """
    code = 0
    for index in range(4):
        record = at(point + NEIGHBOURS[index])
        found = state[record + COLOUR]
        if found == BORDER:
            code |= 4 << 3 * index
        elif found != EMPTY:
            liberties = watch[np.uint64(liberties_at + state[record + HEAD])]
            code |= (4 * (found == WHITE) + liberties) << 3 * index
    for index in range(4):
        # Past the last corner of 19x19 lies the list of empty points.
        found = min(state[at(point + DIAGONALS[index]) + COLOUR], BORDER)
        code |= found << 12 + 2 * index
    return code


@kernel
def other_colour(code: int) -> int:
    """The same shape as the other player sees it."""
    stones = (code | code >> 1) & 0b001001001001
    diagonals = (code ^ code >> 1) & 0b01010101 << 12
    return code ^ stones << 2 ^ diagonals ^ diagonals << 1


@kernel
def worth_playing(code: int) -> bool:
    """Tell whether a playout may play in a shape: it breathes, and is no eye of the player's."""
    breathes, enemies = False, False
    for index in range(4):
        seen = code >> 3 * index & 7
        if seen == 0:
            return True
        enemies |= seen > 4
        breathes |= seen == 2 or seen == 3 or seen == 5
    if enemies:
        return breathes
    against, edge = 0, 0
    for index in range(4):
        seen = code >> 12 + 2 * index & 3
        against += seen == 2
        edge |= seen == 3
    return breathes and against + edge >= 2


@kernel
def smallest_shape(code: int) -> int:
    """The code that stands for a shape and all its turns."""
    smallest = code
    for way in range(1, 8):
        turned = 0
        for index in range(4):
            turned |= (code >> 3 * index & 7) << 3 * SHAPE_TURNS[way, index]
            seen = code >> 12 + 2 * index & 3
            turned |= seen << 12 + 2 * (SHAPE_TURNS[way, 4 + index] - 4)
        smallest = min(smallest, turned)
    return smallest


@kernel
def _hashed(key: int, places: int) -> int:
    """A place for a key; places is a power of two (the multiplier is Knuth's golden ratio)."""
    mixed = np.uint64(key + 1) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed >> np.uint64(40)) & np.uint64(places - 1))  # type: ignore[return-value]


@kernel
def _places_of_shapes() -> np.ndarray:
    places = np.empty(SHAPE_CODES, np.int32)
    for code in range(SHAPE_CODES):
        places[code] = -1
        if worth_playing(code):
            places[code] = SHAPES_AT + _hashed(smallest_shape(code), SHAPE_PLACES)
    return places


@cache
def places_of_shapes() -> np.ndarray:
    """Place of the weight of each shape, int32 [SHAPE_CODES]; -1: not worth playing."""
    return _places_of_shapes()


@kernel
def diamond_of(state: np.ndarray, point: int, colour: int) -> int:
    """What stands around the previous move, as the player to move sees it."""
    code = 0
    for index in range(4):
        step = NEIGHBOURS[index]
        beside = state[at(point + step) + COLOUR]
        code |= _seen(beside, colour) << 2 * index
        # Two steps from a border would be another row.
        beyond = BORDER if beside == BORDER else state[at(point + 2 * step) + COLOUR]
        code |= _seen(beyond, colour) << 2 * (8 + index)
        corner = min(state[at(point + DIAGONALS[index]) + COLOUR], BORDER)
        code |= _seen(corner, colour) << 2 * (4 + index)
    return code


@kernel
def _seen(found: int, colour: int) -> int:
    """0 empty, 1 own, 2 the other's, 3 border."""
    return 3 - found if colour == WHITE and (found == 1 or found == 2) else found


@kernel
def turn_diamond(code: int) -> tuple[int, int]:
    """The code that stands for a diamond and all its turns; the turns that lead there, as bits."""
    low, high = code & 4095, code >> 12
    smallest, ways = 1 << 24, 0
    for way in range(8):
        turned = _HALVES[way, 0, low] | _HALVES[way, 1, high]
        if turned < smallest:
            smallest, ways = turned, 1 << way
        elif turned == smallest:
            ways |= 1 << way
    return smallest, ways


@kernel
def answer_place(smallest: int, ways: int, index: int, liberties: int) -> int:
    """Place of the weight of an answer at a point of a diamond that was turned.

    `liberties`, 1 to 3, are those of the previous move's chain.
    """
    key = (np.int64(smallest) * 12 + _FIRST_PLACES[ways, index]) * 4 + liberties
    return ANSWERS_AT + _hashed(key, ANSWER_PLACES)
