"""The Go board: chains of stones with their liberties kept up to date move by move.

The board has a border, and rows of 20 whatever its size, so that a point's neighbours are always
at -20, -1, +1, +20. Point (y, x) of the board is (y + 1) * 20 + x + 1. Every point is a record of
eight words; chain facts are read at the chain's head:

    COLOUR  HEAD  NEXT  LIBERTIES  STONES  HASH_LOW  HASH_HIGH  SLOT
            of the    next stone   of the chain, at its head    where an empty point stands in the
            chain     (a ring)                                  list of empty points

LIBERTIES counts (stone, empty neighbour) pairs, so a liberty that two stones share counts twice.
That is enough to see a capture (none left), and a stone changes it in constant time. HEAD is 0
where there is no stone.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from envs.games.state import HEADER_WORDS

EMPTY, BLACK, WHITE, BORDER = 0, 1, 2, 3
MAX_SIZE = 19
ROW = MAX_SIZE + 1
NEIGHBOURS = (-ROW, -1, 1, ROW)
DIAGONALS = (-ROW - 1, -ROW + 1, ROW - 1, ROW + 1)

# Words of the header.
(SIZE, PASSES, KO, HASH, HASH_2, COMPENSATION, KO_RULE, SUICIDE, MOVE_LIMIT, END, BLACK_PRISONERS,
 WHITE_PRISONERS, EMPTIES, EMPTIES_AT, HISTORY, HISTORY_AT, PAST_AT, PAST) = range(
    HEADER_WORDS, HEADER_WORDS + 18)  # fmt: skip
BITS_AT = 32
"""Sets of points, a bit a point, 16 words each. Set EMPTY: the empty points; BLACK, WHITE: where a
stone of theirs was ever taken."""
POINTS_AT = 80

# Words of a point's record.
# Unsigned, because numba tests every signed index for being negative, a tenth of a playout.
COLOUR, HEAD, NEXT, LIBERTIES, STONES, HASH_LOW, HASH_HIGH, SLOT = (np.uint64(i) for i in range(8))

ZOBRIST = np.random.default_rng(1970).integers(
    -(2**31), 2**31, size=(3, (MAX_SIZE + 2) * ROW, 2), dtype=np.int32
)
"""Random words of (colour, point), two for 64 bits (Zobrist 1970); [0, 0] is the side to move."""


@kernel
def at(point: int) -> int:
    """Return where a point's record begins."""
    return np.uint64(POINTS_AT + (point << 3))  # type: ignore[return-value]


@kernel
def point_of(size: int, cell: int) -> int:
    """Return the point of a cell, counted from 0 row by row."""
    return (cell // size + 1) * ROW + cell % size + 1


ROW_OF = (np.arange((MAX_SIZE + 2) * ROW) // ROW - 1).astype(np.int32)
"""Of each point: a table is quicker than a division."""


@kernel
def cell_of(size: int, point: int) -> int:
    """Return the cell of a point."""
    return point - ROW - 1 - ROW_OF[np.uint64(point)] * (ROW - size)  # type: ignore[no-any-return]


@kernel
def _word_of(kind: int, point: int) -> int:
    """Return the word of a set of points that holds a point's bit, which is bit `point & 31`."""
    return np.uint64(BITS_AT + (kind << 4) + (point >> 5))  # type: ignore[return-value]


@kernel
def was_taken(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a stone of that colour was ever taken off a point."""
    return (state[_word_of(colour, point)] >> (point & 31)) & 1 != 0  # type: ignore[no-any-return]


@kernel
def row_of_bits(state: np.ndarray, kind: int, row: int) -> int:
    """Return a row of a set of points: bit x + 1 is point (row - 1, x) of the board."""
    first = row * ROW
    word = _word_of(kind, first)
    low, high = np.int64(state[word]) & 0xFFFFFFFF, np.int64(state[word + np.uint64(1)])
    return ((low | high << 32) >> (first & 31)) & ((1 << ROW) - 1)  # type: ignore[return-value]


_DE_BRUIJN = 0x077CB531
_BIT_OF = np.argsort([(_DE_BRUIJN << bit & 0xFFFFFFFF) >> 27 for bit in range(32)])
"""Every five bits in a row of that number are others, so they say how far it was shifted."""


@kernel
def lowest_bit(bits: int) -> int:
    """Number of the lowest bit that is set, below 32 (Leiserson, Prokop and Randall 1998)."""
    return _BIT_OF[np.uint64((((bits & -bits) * _DE_BRUIJN) & 0xFFFFFFFF) >> 27)]  # type: ignore[no-any-return]


@kernel
def clear_board(state: np.ndarray) -> None:
    """Take all stones off; SIZE and EMPTIES_AT are set."""
    size, empties_at = state[SIZE], state[EMPTIES_AT]
    for point in range((size + 2) * ROW):
        state[at(point) + COLOUR] = BORDER
    for word in range(BITS_AT, POINTS_AT):
        state[word] = 0
    for cell in range(size * size):
        point = point_of(size, cell)
        state[at(point) + COLOUR] = EMPTY
        state[_word_of(EMPTY, point)] |= np.int32(1) << (point & 31)
        state[at(point) + SLOT] = cell
        state[empties_at + cell] = point
    state[EMPTIES] = size * size
    state[KO] = 0
    state[HASH] = state[HASH_2] = 0


@kernel
def place(state: np.ndarray, point: int, colour: int) -> None:
    """Put a stone on an empty point; take what it captures, or its own chain if it cannot breathe.

    Sets KO to the point that simple ko forbids next, 0 for none.
    """
    _leave_empties(state, point)
    state[_word_of(EMPTY, point)] ^= np.int32(1) << (point & 31)
    record = at(point)
    state[record + COLOUR] = colour
    state[record + HEAD] = state[record + NEXT] = point
    state[record + STONES] = 1
    state[record + HASH_LOW] = ZOBRIST[colour, point, 0]
    state[record + HASH_HIGH] = ZOBRIST[colour, point, 1]
    state[HASH] ^= state[record + HASH_LOW]
    state[HASH_2] ^= state[record + HASH_HIGH]
    other = 3 - colour
    liberties, friends, enemies = 0, False, False
    for step in NEIGHBOURS:
        neighbour = at(point + step)
        found = state[neighbour + COLOUR]
        if found == EMPTY:
            liberties += 1
        elif found != BORDER:
            state[at(state[neighbour + HEAD]) + LIBERTIES] -= 1
            friends |= found == colour
            enemies |= found == other
    state[record + LIBERTIES] = liberties
    head = point
    if friends:
        for step in NEIGHBOURS:
            if state[at(point + step) + COLOUR] == colour:
                head = _join(state, head, state[at(point + step) + HEAD])
    captured, taken = 0, 0
    if enemies:
        for step in NEIGHBOURS:
            neighbour = at(point + step)
            if state[neighbour + COLOUR] == other:
                chain = state[neighbour + HEAD]
                if state[at(chain) + LIBERTIES] == 0:
                    captured += _remove(state, chain)
                    taken = point + step
    record = at(head)
    if state[record + LIBERTIES] == 0:
        _remove(state, head)
    single = captured == 1 and state[record + STONES] == 1 and state[record + LIBERTIES] == 1
    state[KO] = taken if single else 0


@kernel
def _leave_empties(state: np.ndarray, point: int) -> None:
    """Swap a point with the last of the list of empty points, and shorten the list."""
    state[EMPTIES] -= 1
    empties_at, end = state[EMPTIES_AT], state[EMPTIES]
    swap_empties(state, state[at(point) + SLOT], end, empties_at)


@kernel
def swap_empties(state: np.ndarray, slot: int, other_slot: int, empties_at: int) -> None:
    """Swap two places in the list of empty points."""
    here, there = np.uint64(empties_at + slot), np.uint64(empties_at + other_slot)
    point, other = state[here], state[there]
    state[here], state[there] = other, point
    state[at(point) + SLOT], state[at(other) + SLOT] = other_slot, slot


@kernel
def _join(state: np.ndarray, first: int, second: int) -> int:
    """Make one chain of two, relabelling the smaller; return its head."""
    if first == second:
        return first
    if state[at(first) + STONES] < state[at(second) + STONES]:
        first, second = second, first
    kept, gone = at(first), at(second)
    state[kept + LIBERTIES] += state[gone + LIBERTIES]
    state[kept + STONES] += state[gone + STONES]
    state[kept + HASH_LOW] ^= state[gone + HASH_LOW]
    state[kept + HASH_HIGH] ^= state[gone + HASH_HIGH]
    stone = second
    while True:
        state[at(stone) + HEAD] = first
        stone = state[at(stone) + NEXT]
        if stone == second:
            break
    state[kept + NEXT], state[gone + NEXT] = state[gone + NEXT], state[kept + NEXT]
    return first


@kernel
def _remove(state: np.ndarray, head: int) -> int:
    """Take a chain off the board; its neighbours breathe again. Return its number of stones."""
    record = at(head)
    count = state[record + STONES]
    state[HASH] ^= state[record + HASH_LOW]
    state[HASH_2] ^= state[record + HASH_HIGH]
    colour = state[record + COLOUR]
    state[WHITE_PRISONERS if colour == WHITE else BLACK_PRISONERS] += count
    empties_at, end = state[EMPTIES_AT], state[EMPTIES]
    stone = head
    while True:
        record = at(stone)
        state[record + COLOUR] = EMPTY
        state[record + HEAD] = 0
        bit = np.int32(1) << (stone & 31)
        state[_word_of(EMPTY, stone)] |= bit
        state[_word_of(colour, stone)] |= bit
        state[record + SLOT] = end
        state[empties_at + end] = stone
        end += 1
        for step in NEIGHBOURS:
            neighbour = at(stone + step)
            if state[neighbour + COLOUR] != EMPTY and state[neighbour + COLOUR] != BORDER:
                state[at(state[neighbour + HEAD]) + LIBERTIES] += 1
        stone = state[record + NEXT]
        if stone == head:
            break
    state[EMPTIES] = end
    return count


@kernel
def breathes_elsewhere(state: np.ndarray, point: int, head: int) -> bool:
    """Tell whether a chain next to an empty point has liberties besides that point."""
    pairs = state[at(head) + LIBERTIES]
    if pairs > 4:
        return True
    for step in NEIGHBOURS:
        neighbour = at(point + step)
        found = state[neighbour + COLOUR]
        if found != EMPTY and found != BORDER and state[neighbour + HEAD] == head:
            pairs -= 1
    return pairs > 0


@kernel
def has_empty_neighbour(state: np.ndarray, point: int) -> bool:
    """In one branch: which neighbour is empty cannot be foreseen."""
    up, left = state[at(point - ROW) + COLOUR], state[at(point - 1) + COLOUR]
    right, down = state[at(point + 1) + COLOUR], state[at(point + ROW) + COLOUR]
    return (up == EMPTY) | (left == EMPTY) | (right == EMPTY) | (down == EMPTY)  # type: ignore[no-any-return]


FRIENDS, HELPED = 15, 256


@kernel
def chains_around(state: np.ndarray, point: int, colour: int) -> int:
    """What the chains around an empty point are to a stone on it, as bits.

    1, 2, 4, 8: the neighbour is a friend's; 16, 32, 64, 128: an enemy's that the stone would take;
    both for the first neighbour of each chain only. 256: by one of them the stone has a liberty.

    All four are looked at: which of them decides cannot be foreseen, and a branch would cost more
    (x > y of two truth values is x and not y).
    """
    up, left = at(point - ROW), at(point - 1)
    right, down = at(point + 1), at(point + ROW)
    first, second = state[up + HEAD], state[left + HEAD]
    third, fourth = state[right + HEAD], state[down + HEAD]
    a, b, c = first == second, first == third, first == fourth
    d, e, f = second == third, second == fourth, third == fourth
    # Whether it has liberties elsewhere: pairs of one of its stones and this point do not count.
    more_1 = state[at(first) + LIBERTIES] != 1 + a + b + c
    more_2 = state[at(second) + LIBERTIES] != 1 + a + d + e
    more_3 = state[at(third) + LIBERTIES] != 1 + b + d + f
    more_4 = state[at(fourth) + LIBERTIES] != 1 + c + e + f
    one, two = state[up + COLOUR], state[left + COLOUR]
    three, four = state[right + COLOUR], state[down + COLOUR]
    other = 3 - colour
    friend_1, friend_2 = one == colour, two == colour
    friend_3, friend_4 = three == colour, four == colour
    taken_1, taken_2 = (one == other) > more_1, (two == other) > more_2
    taken_3, taken_4 = (three == other) > more_3, (four == other) > more_4
    helped = (friend_1 & more_1) | (friend_2 & more_2) | (friend_3 & more_3) | (friend_4 & more_4)
    helped |= taken_1 | taken_2 | taken_3 | taken_4
    once_3, once_4 = (b | d) < 1, (c | e | f) < 1
    friends = friend_1 | (friend_2 > a) << 1 | (friend_3 & once_3) << 2 | (friend_4 & once_4) << 3
    taken = taken_1 | (taken_2 > a) << 1 | (taken_3 & once_3) << 2 | (taken_4 & once_4) << 3
    return friends | taken << 4 | helped << 8


@kernel
def chain_liberties(state: np.ndarray, point: int, out: np.ndarray) -> int:
    """Write the distinct liberties of the chain at `point` to out, int32; return their number."""
    head = state[at(point) + HEAD]
    count = 0
    stone = head
    while True:
        for step in NEIGHBOURS:
            neighbour = stone + step
            if state[at(neighbour) + COLOUR] == EMPTY:
                known = False
                for index in range(count):
                    known |= out[index] == neighbour
                if not known:
                    out[count] = neighbour
                    count += 1
        stone = state[at(stone) + NEXT]
        if stone == head:
            return count
