"""The rules of Go on the board of `board.py`: legality with exact superko, play, area scoring.

Tromp and Taylor's logical rules (tromp.github.io/go.html) with their usual variations as data: the
ko rule, whether a chain may kill itself, and compensation for White.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from core.machine.random_numbers import random_below
from envs.games.go.board import (
    BLACK,
    BORDER,
    CAPTURES,
    COLOUR,
    COMPENSATION,
    DIAGONALS,
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
    breathes_elsewhere,
    clear_board,
    place,
    point_of,
    swap_empties,
)
from envs.games.state import (
    DRAW,
    LOSS,
    MOVE_NUMBER,
    OUTCOME,
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
    """Start a game; options int32: size, compensation in halves, ko rule, suicide, move limit."""
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
    _remember(state)


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
    state[KO] = state[CAPTURES] = 0
    state[TO_MOVE] = to_move
    state[HISTORY] = state[PAST] = 0
    state[state[HISTORY_AT] : state[HISTORY_AT] + _FILTER_WORDS] = 0
    _remember(state)
    return True


@kernel
def _remember(state: np.ndarray) -> None:
    """Add the position to the game's history and to the last boards."""
    size = state[SIZE]
    cells = size * size
    packed = (cells + _CELLS_PER_WORD - 1) // _CELLS_PER_WORD
    slot = state[PAST_AT] + state[PAST] % PAST_BOARDS * packed
    state[PAST] += 1
    state[slot : slot + packed] = 0
    cell = 0
    for row in range(1, size + 1):
        for point in range(row * ROW + 1, row * ROW + 1 + size):
            state[slot + (cell >> 4)] |= state[at(point) + COLOUR] << ((cell & 15) << 1)
            cell += 1
    if state[KO_RULE] == SIMPLE:
        return
    low, high = state[HASH], state[HASH_2]
    if state[KO_RULE] == SITUATIONAL and state[TO_MOVE]:
        low, high = low ^ ZOBRIST[0, 0, 0], high ^ ZOBRIST[0, 0, 1]
    history, count = state[HISTORY_AT], state[HISTORY]
    if count > state[MOVE_LIMIT]:
        return
    bit = low & (_FILTER_BITS - 1)
    state[history + (bit >> 5)] |= np.int32(1) << (bit & 31)
    state[history + _FILTER_WORDS + 2 * count] = low
    state[history + _FILTER_WORDS + 2 * count + 1] = high
    state[HISTORY] = count + 1


@kernel
def is_legal(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a colour may play at a point, superko included."""
    if state[at(point) + COLOUR] != EMPTY or (state[KO_RULE] == SIMPLE and point == state[KO]):
        return False
    if not _breathes(state, point, colour) and not (
        state[SUICIDE] and _joins_friends(state, point, colour)
    ):
        return False
    # Without a capture or suicide so far every position has had a stone more than the one before.
    if state[KO_RULE] == SIMPLE or state[CAPTURES] == 0:
        return True
    return not _repeats(state, point, colour)


@kernel
def _breathes(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a stone there has a liberty, by itself, through friends or by capturing."""
    for step in NEIGHBOURS:
        if state[at(point + step) + COLOUR] == EMPTY:
            return True
    for step in NEIGHBOURS:
        neighbour = at(point + step)
        found = state[neighbour + COLOUR]
        if found == BORDER:
            continue
        if breathes_elsewhere(state, point, state[neighbour + HEAD]) == (found == colour):
            return True
    return False


@kernel
def _joins_friends(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a stone there is not alone: one stone killing itself would be a pass."""
    for step in NEIGHBOURS:
        if state[at(point + step) + COLOUR] == colour:
            return True
    return False


@kernel
def _repeats(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a stone there makes a position that the game has seen (superko)."""
    low, high = _hash_after(state, point, colour)
    # After the move the other player is to move.
    if state[KO_RULE] == SITUATIONAL and colour == BLACK:
        low, high = low ^ ZOBRIST[0, 0, 0], high ^ ZOBRIST[0, 0, 1]
    history = state[HISTORY_AT]
    bit = low & (_FILTER_BITS - 1)
    if not (state[history + (bit >> 5)] >> (bit & 31)) & 1:
        return False
    first = history + _FILTER_WORDS
    for entry in range(first, first + 2 * state[HISTORY], 2):
        if state[entry] == low and state[entry + 1] == high:
            return True
    return False


@kernel
def _hash_after(state: np.ndarray, point: int, colour: int) -> tuple[int, int]:
    """The hash of the position that a stone at a point would make."""
    low, high = state[HASH], state[HASH_2]
    own_low, own_high = ZOBRIST[colour, point, 0], ZOBRIST[colour, point, 1]
    captures, breathes = False, False
    for index in range(4):
        neighbour = at(point + NEIGHBOURS[index])
        found = state[neighbour + COLOUR]
        if found == EMPTY:
            breathes = True
            continue
        if found == BORDER:
            continue
        head = state[neighbour + HEAD]
        seen = False
        for earlier in range(index):
            before = at(point + NEIGHBOURS[earlier])
            occupied = state[before + COLOUR] != EMPTY and state[before + COLOUR] != BORDER
            seen |= occupied and state[before + HEAD] == head
        if seen:
            continue
        alive = breathes_elsewhere(state, point, head)
        if found == colour:
            breathes |= alive
            own_low ^= state[at(head) + HASH_LOW]
            own_high ^= state[at(head) + HASH_HIGH]
        elif not alive:
            captures = True
            low ^= state[at(head) + HASH_LOW]
            high ^= state[at(head) + HASH_HIGH]
    if captures or breathes:
        return low ^ ZOBRIST[colour, point, 0], high ^ ZOBRIST[colour, point, 1]
    # Suicide: the friends go and the stone with them.
    return (low ^ own_low ^ ZOBRIST[colour, point, 0], high ^ own_high ^ ZOBRIST[colour, point, 1])


@kernel
def legal(state: np.ndarray, mask: np.ndarray) -> None:
    """Mark the legal actions, uint8 [size * size + 1]: the cells row by row, then the pass."""
    size = state[SIZE]
    colour = state[TO_MOVE] + 1
    cell = 0
    for row in range(1, size + 1):
        for point in range(row * ROW + 1, row * ROW + 1 + size):
            mask[cell] = is_legal(state, point, colour)
            cell += 1
    mask[cell] = 1


@kernel
def play(state: np.ndarray, action: int) -> None:
    """Play a legal action for the player to move."""
    size = state[SIZE]
    if action == size * size:
        state[PASSES] += 1
        state[KO] = 0
    else:
        state[PASSES] = 0
        place(state, point_of(size, action), state[TO_MOVE] + 1)
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
    return _breathes(state, point, colour)


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
