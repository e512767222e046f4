"""The rules of Go on the board of `board.py`: legality with exact superko, play, area scoring.

Tromp and Taylor's logical rules (tromp.github.io/go.html) with their usual variations as data: the
ko rule, whether a chain may kill itself, and compensation for White.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import inlined, kernel
from envs.games.go.board import (
    BLACK,
    BORDER,
    COLOUR,
    COMPENSATION,
    EMPTIES,
    EMPTIES_AT,
    EMPTY,
    END,
    HASH,
    HASH_2,
    HASH_HIGH,
    HASH_LOW,
    HEAD,
    HISTORY,
    HISTORY_AT,
    KO,
    KO_RULE,
    LIBERTIES,
    MOVE_LIMIT,
    NEIGHBOURS,
    NEXT,
    PASSES,
    PAST,
    PAST_AT,
    POINTS_AT,
    ROW,
    SIZE,
    SUICIDE,
    WHITE,
    ZOBRIST,
    at,
    cell_of,
    clear_board,
    place,
    point_of,
    row_of_bits,
    was_taken,
)
from envs.games.state import (
    DRAW,
    LOSS,
    MOVE_NUMBER,
    OUTCOME,
    SECOND,
    TO_MOVE,
    UNDECIDED,
    WIN,
    end_turn,
    start,
)

SIMPLE, POSITIONAL, SITUATIONAL = 0, 1, 2
"""KO_RULE: no immediate retaking; no position twice; no position twice with the same to move."""
TWO_PASSES, MOVE_LIMIT_REACHED = 1, 2
"""END: how a game came to its end."""
PAST_BOARDS = 8
_FILTER_BITS = 4096
_FILTER_WORDS = _FILTER_BITS // 32
_CELLS_PER_WORD = 16
_DE_BRUIJN = 0x077CB531
_BIT_OF = np.argsort([(_DE_BRUIJN << bit & 0xFFFFFFFF) >> 27 for bit in range(32)])
"""Every five bits in a row of that number are others, so they say how far it was shifted."""


@kernel
def state_words(size: int, move_limit: int) -> int:
    """Number of words of a state."""
    cells = size * size
    packed = (cells + _CELLS_PER_WORD - 1) // _CELLS_PER_WORD
    points = 8 * (size + 2) * ROW
    history = _FILTER_WORDS + 2 * (move_limit + 2)
    return POINTS_AT + points + cells + PAST_BOARDS * packed + history


@kernel
def new(state: np.ndarray, options: np.ndarray) -> None:
    """Start a game; options int32: size, compensation in halves, ko rule, suicide, move limit, and
    the cells of Black's handicap stones, after which White moves first.
    """
    size = options[0]
    start(state, size, size)
    state[SIZE] = size
    state[COMPENSATION], state[KO_RULE] = options[1], options[2]
    state[SUICIDE], state[MOVE_LIMIT] = options[3], options[4]
    state[EMPTIES_AT] = POINTS_AT + 8 * (size + 2) * ROW
    state[PAST_AT] = state[EMPTIES_AT] + size * size
    packed = (size * size + _CELLS_PER_WORD - 1) // _CELLS_PER_WORD
    state[HISTORY_AT] = state[PAST_AT] + PAST_BOARDS * packed
    clear_board(state)
    for index in range(5, options.size):
        place(state, point_of(size, options[index]), BLACK)
        state[TO_MOVE] = SECOND
    _remember_all(state)


@kernel
def set_position(state: np.ndarray, cells: np.ndarray, to_move: int) -> bool:
    """Start over from given stones, int8 [size * size]; False if a chain has no liberty.

    Komi and rules stay; the game's history begins here.
    """
    size = state[SIZE]
    compensation, ko_rule, suicide = state[COMPENSATION], state[KO_RULE], state[SUICIDE]
    options = np.array([size, compensation, ko_rule, suicide, state[MOVE_LIMIT]], np.int32)
    new(state, options)
    for cell in range(size * size):
        if cells[cell] != EMPTY:
            place(state, point_of(size, cell), cells[cell])
    for cell in range(size * size):
        if state[at(point_of(size, cell)) + COLOUR] != cells[cell]:
            new(state, options)
            return False
    state[KO] = 0
    state[TO_MOVE] = to_move
    state[HISTORY] = state[PAST] = 0
    state[state[HISTORY_AT] : state[HISTORY_AT] + _FILTER_WORDS] = 0
    _remember_all(state)
    return True


@kernel
def _next_board(state: np.ndarray) -> int:
    """Begin the newest of the last boards as a copy of the one before; return where it lies."""
    size = state[SIZE]
    packed = (size * size + _CELLS_PER_WORD - 1) // _CELLS_PER_WORD
    past = state[PAST]
    slot = state[PAST_AT] + past % PAST_BOARDS * packed
    before = state[PAST_AT] + (past + PAST_BOARDS - 1) % PAST_BOARDS * packed
    for word in range(packed):
        state[np.uint64(slot + word)] = state[np.uint64(before + word)]
    state[PAST] = past + 1
    return slot  # type: ignore[no-any-return]


@kernel
def _pack(state: np.ndarray, slot: int, point: int) -> None:
    """Write what is on a point now into a packed board."""
    cell = cell_of(state[SIZE], point)
    word, shift = np.uint64(slot + (cell >> 4)), (cell & 15) << 1
    state[word] = (state[word] & ~(3 << shift)) | (state[at(point) + COLOUR] << shift)


@kernel
def pack_newest(state: np.ndarray) -> None:
    """Write the whole board into the newest of the last boards: `play` changes what differs."""
    size = state[SIZE]
    packed = (size * size + _CELLS_PER_WORD - 1) // _CELLS_PER_WORD
    slot = state[PAST_AT] + (state[PAST] - 1) % PAST_BOARDS * packed
    for cell in range(size * size):
        _pack(state, slot, point_of(size, cell))


@kernel
def _remember_all(state: np.ndarray) -> None:
    """Add a position that no move led to, to the game's history and to the last boards."""
    _next_board(state)
    pack_newest(state)
    _remember(state)


@kernel
def _remember(state: np.ndarray) -> None:
    """Add the position to the game's history."""
    if state[KO_RULE] == SIMPLE:
        return
    low, high = state[HASH], state[HASH_2]
    if state[KO_RULE] == SITUATIONAL and state[TO_MOVE]:
        low, high = low ^ ZOBRIST[0, 0, 0], high ^ ZOBRIST[0, 0, 1]
    history, count = state[HISTORY_AT], state[HISTORY]
    if count > state[MOVE_LIMIT]:
        return
    for bit in (low & (_FILTER_BITS - 1), high & (_FILTER_BITS - 1)):
        state[history + (bit >> 5)] |= np.int32(1) << (bit & 31)
    state[history + _FILTER_WORDS + 2 * count] = low
    state[history + _FILTER_WORDS + 2 * count + 1] = high
    state[HISTORY] = count + 1


@kernel
def is_legal(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a colour may play at a point, superko included."""
    return state[at(point) + COLOUR] == EMPTY and _may_play(
        state, point, colour, _has_empty_neighbour(state, point)
    )  # type: ignore[no-any-return]


@inlined
def _may_play(state: np.ndarray, point: int, colour: int, room: bool) -> bool:
    """Tell the same of an empty point; room: one of its neighbours is empty."""
    if state[KO_RULE] == SIMPLE and point == state[KO]:
        return False
    chains = _chains_around(state, point, colour)
    alive = room | (chains & _HELPED != 0)
    if not alive and (chains & _FRIENDS == 0 or not state[SUICIDE]):
        return False  # one stone killing itself would be a pass
    # A stone where none of its colour was taken makes a position that is new, if it stays there.
    if state[KO_RULE] == SIMPLE or (alive and not was_taken(state, point, colour)):
        return True
    return not _repeats(state, point, colour, alive, chains >> 4 if alive else chains)


@kernel
def _has_empty_neighbour(state: np.ndarray, point: int) -> bool:
    """In one branch: which neighbour is empty cannot be foreseen."""
    up, left = state[at(point - ROW) + COLOUR], state[at(point - 1) + COLOUR]
    right, down = state[at(point + 1) + COLOUR], state[at(point + ROW) + COLOUR]
    return (up == EMPTY) | (left == EMPTY) | (right == EMPTY) | (down == EMPTY)  # type: ignore[no-any-return]


@kernel
def breathes(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a stone there has a liberty, by itself, through friends or by capturing."""
    if _has_empty_neighbour(state, point):
        return True
    return _chains_around(state, point, colour) & _HELPED != 0


_FRIENDS, _HELPED = 15, 256


@kernel
def _chains_around(state: np.ndarray, point: int, colour: int) -> int:
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
def is_suicide(state: np.ndarray, action: int) -> bool:
    """Tell whether a legal action takes the mover's own stones off the board."""
    size = state[SIZE]
    if action == size * size:
        return False
    return not breathes(state, point_of(size, action), state[TO_MOVE] + 1)


@inlined
def _repeats(state: np.ndarray, point: int, colour: int, stays: bool, gone: int) -> bool:
    """Tell whether a stone there makes a position that the game has seen (superko).

    Args:
        stays: the stone stays on the board.
        gone: bits 1, 2, 4, 8 for the neighbours whose chains are taken off.
    """
    low = state[HASH] ^ (ZOBRIST[colour, point, 0] if stays else 0)
    high = state[HASH_2] ^ (ZOBRIST[colour, point, 1] if stays else 0)
    for index in range(4):
        chain = at(state[at(point + NEIGHBOURS[index]) + HEAD])
        flag = -(gone >> index & 1)
        low ^= state[chain + HASH_LOW] & flag
        high ^= state[chain + HASH_HIGH] & flag
    # After the move the other player is to move.
    if state[KO_RULE] == SITUATIONAL and colour == BLACK:
        low, high = low ^ ZOBRIST[0, 0, 0], high ^ ZOBRIST[0, 0, 1]
    history = state[HISTORY_AT]
    for bit in (low & (_FILTER_BITS - 1), high & (_FILTER_BITS - 1)):
        if not (state[np.uint64(history + (bit >> 5))] >> (bit & 31)) & 1:
            return False
    first = history + _FILTER_WORDS
    for entry in range(first, first + 2 * state[HISTORY], 2):
        if state[entry] == low and state[entry + 1] == high:
            return True
    return False


@kernel
def lowest_bit(bits: int) -> int:
    """Number of the lowest bit that is set, below 32 (Leiserson, Prokop and Randall 1998)."""
    return _BIT_OF[np.uint64((((bits & -bits) * _DE_BRUIJN) & 0xFFFFFFFF) >> 27)]  # type: ignore[no-any-return]


@kernel
def legal(state: np.ndarray, mask: np.ndarray) -> None:
    """Mark the legal actions, uint8 [size * size + 1]: the cells row by row, then the pass."""
    size, colour = state[SIZE], state[TO_MOVE] + 1
    above, here = 0, row_of_bits(state, EMPTY, 1)
    for row in range(1, size + 1):
        below = row_of_bits(state, EMPTY, row + 1)
        room = here & (above | here << 1 | here >> 1 | below)
        # Most points have room and saw nothing taken. Ko forbids none of these.
        free = room & ~row_of_bits(state, colour, row)
        first = (row - 1) * size
        for column in range(size):
            mask[np.uint64(first + column)] = (free >> (column + 1)) & 1
        rest = here & ~free
        while rest:
            column = lowest_bit(rest)
            rest &= rest - 1
            may = _may_play(state, row * ROW + column, colour, room >> column & 1 != 0)
            mask[np.uint64(first + column - 1)] = may
        above, here = here, below
    mask[size * size] = 1


@kernel
def play(state: np.ndarray, action: int) -> None:
    """Play a legal action for the player to move."""
    size = state[SIZE]
    board = _next_board(state)
    if action == size * size:
        state[PASSES] += 1
        state[KO] = 0
    else:
        state[PASSES] = 0
        point, empties = point_of(size, action), state[EMPTIES]
        place(state, point, state[TO_MOVE] + 1)
        _pack(state, board, point)
        # Points whose stones were taken are the last in the list of empty ones.
        for slot in range(empties - 1, state[EMPTIES]):
            _pack(state, board, state[np.uint64(state[EMPTIES_AT] + slot)])
    end_turn(state, action)
    _remember(state)
    if state[PASSES] >= 2:
        state[END] = TWO_PASSES
        decide(state)
    elif state[MOVE_NUMBER] >= state[MOVE_LIMIT]:
        state[END] = MOVE_LIMIT_REACHED
        decide(state)


@kernel
def resume(state: np.ndarray) -> None:
    """Go on with a game that two passes ended, to settle which stones are dead."""
    state[OUTCOME] = UNDECIDED
    state[PASSES] = state[END] = 0


@kernel
def decide(state: np.ndarray) -> None:
    """Set the outcome by area."""
    margin = score(state)
    state[OUTCOME] = WIN if margin > 0 else (LOSS if margin < 0 else DRAW)


@kernel
def score(state: np.ndarray) -> int:
    """Black's margin in half points: stones and surrounded points, less White's compensation."""
    mark_territory(state)
    margin = 0
    for row in range(1, state[SIZE] + 1):
        for point in range(row * ROW + 1, row * ROW + 1 + state[SIZE]):
            owner = state[at(point) + COLOUR]
            if owner == EMPTY:
                owner = state[at(point) + NEXT]
            margin += (owner == BLACK) - (owner == WHITE)
    return 2 * margin - state[COMPENSATION]


@kernel
def mark_territory(state: np.ndarray) -> None:
    """Write into NEXT of every empty point the only colour that its region touches, else 0."""
    count, empties_at = state[EMPTIES], state[EMPTIES_AT]
    unknown = -1
    for slot in range(count):
        state[at(state[empties_at + slot]) + NEXT] = unknown
    queue = np.empty(count, np.int32)
    for slot in range(count):
        if state[at(state[empties_at + slot]) + NEXT] != unknown:
            continue
        queue[0] = state[empties_at + slot]
        state[at(queue[0]) + NEXT] = 0
        touched, head, tail = 0, 0, 1
        while head < tail:
            for step in NEIGHBOURS:
                record = at(queue[head] + step)
                found = state[record + COLOUR]
                if found != EMPTY:
                    touched |= found if found != BORDER else 0
                elif state[record + NEXT] == unknown:
                    state[record + NEXT] = 0
                    queue[tail] = queue[head] + step
                    tail += 1
            head += 1
        owner = touched if touched != BLACK | WHITE else 0
        for index in range(tail):
            state[at(queue[index]) + NEXT] = owner
