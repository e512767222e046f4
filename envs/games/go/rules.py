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
    FRIENDS,
    HASH,
    HASH_2,
    HASH_HIGH,
    HASH_LOW,
    HEAD,
    HELPED,
    HISTORY,
    HISTORY_AT,
    KO,
    KO_RULE,
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
    chains_around,
    clear_board,
    has_empty_neighbour,
    lowest_bit,
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
        state, point, colour, has_empty_neighbour(state, point)
    )  # type: ignore[no-any-return]


@inlined
def _may_play(state: np.ndarray, point: int, colour: int, room: bool) -> bool:
    """Tell the same of an empty point; room: one of its neighbours is empty."""
    if state[KO_RULE] == SIMPLE and point == state[KO]:
        return False
    chains = chains_around(state, point, colour)
    alive = room | (chains & HELPED != 0)
    if not alive and (chains & FRIENDS == 0 or not state[SUICIDE]):
        return False  # one stone killing itself would be a pass
    # A stone where none of its colour was taken makes a position that is new, if it stays there.
    if state[KO_RULE] == SIMPLE or (alive and not was_taken(state, point, colour)):
        return True
    return not _repeats(state, point, colour, alive, chains >> 4 if alive else chains)


@kernel
def breathes(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a stone there has a liberty, by itself, through friends or by capturing."""
    if has_empty_neighbour(state, point):
        return True
    return chains_around(state, point, colour) & HELPED != 0


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
def give_turn(state: np.ndarray, player: int) -> None:
    """Let a player move. Who took in a ko may fill it: only the other may not take back at once."""
    if state[TO_MOVE] != player:
        state[TO_MOVE] = player
        state[KO] = 0


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
