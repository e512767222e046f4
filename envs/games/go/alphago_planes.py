"""The input planes of AlphaGo (Silver et al. 2016, extended data table 2), for boards of any size.

    0 - 2    stone colour          own, the other's, empty
    3        ones
    4 - 11   turns since           a stone was played: 1, 2, ... 8 or more
    12 - 19  liberties             of the chain at a stone: 1, 2, ... 8 or more
    20 - 27  capture size          stones that a move takes: 1, 2, ... 8 or more
    28 - 35  self-atari size       stones of the chain that a move leaves in atari: 1, ... 8 or more
    36 - 43  liberties after move  of the chain that a move makes: 1, 2, ... 8 or more
    44       ladder capture        the move catches a chain of two liberties in a ladder
    45       ladder escape         the move saves an own chain in atari from a ladder
    46       sensibleness          the move is legal and fills no own eye
    47       zeros
    48       player colour         ones if Black is to move; of the value network only

All planes of moves (20 to 46) are of legal moves of the player to move, and zero elsewhere. Where
the table leaves it open: sizes begin at 1, as liberties do; stones whose move lies before the
known history, such as those of a handicap, are 8 or more turns old; a move that kills its own
chain, where rules allow that, is a self-atari of the whole chain without liberties; an own eye is
that of the playouts.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from envs.games.go.board import (
    BORDER,
    COLOUR,
    DIAGONALS,
    EMPTY,
    HEAD,
    NEIGHBOURS,
    NEXT,
    PAST,
    PAST_AT,
    ROW,
    SIZE,
    STONES,
    at,
    breathes_elsewhere,
    cell_of,
)
from envs.games.go.ladders import (
    atari_liberty,
    few_liberties,
    is_ladder_capture,
    is_ladder_escape,
)
from envs.games.go.rules import PAST_BOARDS, is_legal
from envs.games.state import TO_MOVE

POLICY_PLANES, VALUE_PLANES = 48, 49
OWN, OTHER, VACANT, ONES, TURNS, LIBERTIES_NOW = 0, 1, 2, 3, 4, 12
CAPTURES, SELF_ATARI, LIBERTIES_AFTER = 20, 28, 36
LADDER_CAPTURE, LADDER_ESCAPE, SENSIBLE, ZEROS, COLOUR_TO_MOVE = 44, 45, 46, 47, 48
_MOST = 8
_POINTS = (19 + 2) * ROW


@kernel
def observe(state: np.ndarray, boards: np.ndarray, planes: np.ndarray) -> None:
    """Write the planes of a position.

    Args:
        state: the position, int32 [words].
        boards: of `ladders.ladder_boards`, overwritten.
        planes: any dtype, [48, H, W] or, with the player's colour, [49, H, W].
    """
    size = state[SIZE]
    cells = size * size
    flat = planes.reshape(planes.shape[0], cells)
    flat[:] = 0
    flat[ONES] = 1
    if planes.shape[0] > COLOUR_TO_MOVE:
        flat[COLOUR_TO_MOVE] = state[TO_MOVE] == 0
    _stones(state, flat)
    _turns_since(state, flat)
    _moves(state, boards, flat)


@kernel
def _stones(state: np.ndarray, flat: np.ndarray) -> None:
    """Colours and liberties of what is on the board."""
    size, own = state[SIZE], state[TO_MOVE] + 1
    seen = np.zeros(_POINTS, np.int32)
    for row in range(size):
        for column in range(size):
            cell, point = row * size + column, (row + 1) * ROW + column + 1
            colour = state[at(point) + COLOUR]
            if colour == EMPTY:
                flat[VACANT, cell] = 1
                continue
            flat[OWN if colour == own else OTHER, cell] = 1
            if state[at(point) + HEAD] == point:
                plane = LIBERTIES_NOW + min(_MOST, _count_liberties(state, point, seen)) - 1
                stone = point
                while True:
                    flat[plane, cell_of(size, stone)] = 1
                    stone = state[at(stone) + NEXT]
                    if stone == point:
                        break


@kernel
def _count_liberties(state: np.ndarray, head: int, seen: np.ndarray) -> int:
    """Distinct liberties of a chain; `seen` int32, marked with the chain's head."""
    count, stone = 0, head
    while True:
        for step in NEIGHBOURS:
            point = stone + step
            if state[at(point) + COLOUR] == EMPTY and seen[point] != head:
                seen[point] = head
                count += 1
        stone = state[at(stone) + NEXT]
        if stone == head:
            return count


@kernel
def _turns_since(state: np.ndarray, flat: np.ndarray) -> None:
    """A stone is as old as the newest board of the past that lacks it."""
    size = state[SIZE]
    cells = size * size
    packed = (cells + 15) >> 4
    known = min(state[PAST], PAST_BOARDS)
    for word in range(packed):
        first = word << 4
        now = state[state[PAST_AT] + (state[PAST] - 1) % PAST_BOARDS * packed + word]
        for cell in range(first, min(first + 16, cells)):
            shift = (cell - first) << 1
            colour = (now >> shift) & 3
            if colour == EMPTY:
                continue
            age = _MOST
            for ago in range(1, known):
                slot = (state[PAST] - 1 - ago) % PAST_BOARDS * packed
                if (state[state[PAST_AT] + slot + word] >> shift) & 3 != colour:
                    age = ago
                    break
            flat[TURNS + age - 1, cell] = 1


@kernel
def _moves(state: np.ndarray, boards: np.ndarray, flat: np.ndarray) -> None:
    """The planes of legal moves."""
    size, colour = state[SIZE], state[TO_MOVE] + 1
    seen = np.zeros(_POINTS, np.int32)
    for row in range(size):
        for column in range(size):
            cell, point = row * size + column, (row + 1) * ROW + column + 1
            if not is_legal(state, point, colour):
                continue
            flat[SENSIBLE, cell] = not is_own_eye(state, point, colour)
            captured, stones, liberties = after_move(state, point, colour, seen)
            if captured:
                flat[CAPTURES + min(captured, _MOST) - 1, cell] = 1
            if liberties <= 1:
                flat[SELF_ATARI + min(stones, _MOST) - 1, cell] = 1
            if liberties:
                flat[LIBERTIES_AFTER + min(liberties, _MOST) - 1, cell] = 1
            flat[LADDER_CAPTURE, cell] = _catches(state, boards, point, colour)
            flat[LADDER_ESCAPE, cell] = _saves(state, boards, point, colour)


@kernel
def is_own_eye(state: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether an empty point is an eye that playouts leave alone.

    Its neighbours are the player's, and so are its diagonals but one inside the board.
    """
    for step in NEIGHBOURS:
        found = state[at(point + step) + COLOUR]
        if found != colour and found != BORDER:
            return False
    against, edge = 0, 0
    for step in DIAGONALS:
        found = state[at(point + step) + COLOUR]
        against += found == 3 - colour
        edge |= found == BORDER
    return against + edge < 2


@kernel
def after_move(
    state: np.ndarray, point: int, colour: int, seen: np.ndarray
) -> tuple[int, int, int]:
    """What a stone at an empty point would do, without playing it.

    Args:
        state: the position.
        point: where.
        colour: whose stone.
        seen: int32 [points], not marked with `point` yet.

    Returns:
        Stones captured; stones of the new chain; its distinct liberties, 0 where it dies.
    """
    stones, liberties = 1, 0
    seen[point] = point
    for step in NEIGHBOURS:
        neighbour = point + step
        found = state[at(neighbour) + COLOUR]
        if found == EMPTY and seen[neighbour] != point:
            seen[neighbour] = point
            liberties += 1
        elif found == colour and seen[neighbour] != point:
            stones += state[at(state[at(neighbour) + HEAD]) + STONES]
            liberties += _mark_chain(state, neighbour, point, seen)
    # Now the new chain is marked, and taken stones beside it are liberties.
    captured = 0
    for step in NEIGHBOURS:
        neighbour = point + step
        if state[at(neighbour) + COLOUR] != 3 - colour or seen[neighbour] == point:
            continue
        if not breathes_elsewhere(state, point, state[at(neighbour) + HEAD]):
            taken, freed = _mark_captured(state, neighbour, point, colour, seen)
            captured += taken
            liberties += freed
    return captured, stones, liberties


@kernel
def _mark_chain(state: np.ndarray, first: int, mark: int, seen: np.ndarray) -> int:
    """Mark a chain and its liberties; return how many of these are new."""
    liberties, stone = 0, first
    while True:
        seen[stone] = mark
        for step in NEIGHBOURS:
            point = stone + step
            if state[at(point) + COLOUR] == EMPTY and seen[point] != mark:
                seen[point] = mark
                liberties += 1
        stone = state[at(stone) + NEXT]
        if stone == first:
            return liberties


@kernel
def _mark_captured(
    state: np.ndarray, first: int, point: int, colour: int, seen: np.ndarray
) -> tuple[int, int]:
    """Mark a chain that a stone at `point` takes; return its stones, and those of them beside the
    new chain, which is marked already."""
    taken, freed, stone = 0, 0, first
    while True:
        taken += 1
        seen[stone] = point
        beside = False
        for step in NEIGHBOURS:
            other = stone + step
            beside |= other == point
            beside |= seen[other] == point and state[at(other) + COLOUR] == colour
        freed += beside
        stone = state[at(stone) + NEXT]
        if stone == first:
            return taken, freed


@kernel
def _catches(state: np.ndarray, boards: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a legal move catches a neighbouring chain in a ladder."""
    for step in NEIGHBOURS:
        prey = point + step
        if state[at(prey) + COLOUR] != 3 - colour or few_liberties(state, prey)[2] != 2:
            continue
        if is_ladder_capture(state, boards, point, colour, prey):
            return True
    return False


@kernel
def _saves(state: np.ndarray, boards: np.ndarray, point: int, colour: int) -> bool:
    """Tell whether a legal move saves an own chain in atari, by extending or by capturing."""
    for step in NEIGHBOURS:
        neighbour = point + step
        found = state[at(neighbour) + COLOUR]
        if found in (EMPTY, BORDER) or not atari_liberty(state, neighbour):
            continue
        if found == colour and is_ladder_escape(state, boards, point, colour, neighbour):
            return True
        if found != colour and _saves_by_taking(state, boards, point, colour, neighbour):
            return True
    return False


@kernel
def _saves_by_taking(
    state: np.ndarray, boards: np.ndarray, point: int, colour: int, taken: int
) -> bool:
    """Tell whether taking a chain saves an own one beside it that is in atari."""
    stone = taken
    while True:
        for step in NEIGHBOURS:
            prey = stone + step
            if state[at(prey) + COLOUR] != colour or not atari_liberty(state, prey):
                continue
            if is_ladder_escape(state, boards, point, colour, prey):
                return True
        stone = state[at(stone) + NEXT]
        if stone == taken:
            return False
