"""Go's kernels against the rules written slowly, in random games, in all short ones, by published
counts, and by what they keep up to date."""

from __future__ import annotations

import copy
import functools
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.machine.kernels import kernel
from core.machine.random_numbers import random_state
from envs.games.game import random_legal_action
from envs.games.go import board as b
from envs.games.go import rules
from envs.games.options import KO_RULES
from envs.games.state import MOVE_NUMBER, OUTCOME, UNDECIDED
from tests.envs.games.slow_go import Board, SlowGo
from tests.envs.games.test_go_rules import cells_of, legal_of, new_state


def check_bookkeeping(state: np.ndarray, slow: SlowGo) -> None:
    """What the kernels keep up to date equals what a count from scratch gives."""
    size, cells = slow.size, slow.board
    out = np.zeros(size * size, np.int32)
    low = high = 0
    for cell, colour in enumerate(cells):
        point = b.point_of(size, cell)
        assert b.cell_of(size, point) == cell
        if colour == 0:
            assert state[state[b.EMPTIES_AT] + state[b.at(point) + b.SLOT]] == point
            assert state[b.at(point) + b.HEAD] == 0
            continue
        low ^= int(b.ZOBRIST[colour, point, 0])
        high ^= int(b.ZOBRIST[colour, point, 1])
        region = slow.reach(cells, cell)[0]
        head = b.at(int(state[b.at(point) + b.HEAD]))
        pairs = sum(cells[c] == 0 for stone in region for c in slow.neighbours(stone))
        assert (state[head + b.LIBERTIES], state[head + b.STONES]) == (pairs, len(region))
        count = b.chain_liberties(state, point, out)
        assert {b.cell_of(size, p) for p in out[:count]} == slow.liberties(cells, cell)
    assert (state[b.HASH], state[b.HASH_2]) == (low, high)
    assert state[b.EMPTIES] == cells.count(0)
    for row in range(size):
        bits = sum((cells[row * size + x] == 0) << (x + 1) for x in range(size))
        assert b.row_of_bits(state, b.EMPTY, row + 1) == bits


@settings(max_examples=60)
@given(
    size=st.integers(1, 6),
    ko=st.sampled_from(KO_RULES),
    suicide=st.booleans(),
    seed=st.integers(0, 10**9),
)
def test_random_games_follow_the_rules(size: int, ko: str, suicide: bool, seed: int) -> None:
    draw = random.Random(seed)
    state, slow = new_state(size, ko, suicide), SlowGo(size, ko, suicide)
    while state[OUTCOME] == UNDECIDED:
        moves = [cell for cell in range(size * size) if slow.is_legal(cell)]
        assert legal_of(state) == [*moves, size * size]
        # Few passes, so that boards fill up, are captured and come close to repeating.
        move = draw.choice(moves) if moves and draw.random() < 0.97 else None
        rules.play(state, size * size if move is None else move)
        slow.play(move)
        assert cells_of(state) == slow.board
        check_bookkeeping(state, slow)
        assert rules.score(state) == 2 * slow.margin()
    assert slow.passes == 2 or state[MOVE_NUMBER] == state[b.MOVE_LIMIT]
    assert np.sign(slow.margin()) == state[OUTCOME]


class QuickGo(SlowGo):
    """Slow Go that works each board out once."""

    def after(self, cell: int, colour: int) -> Board:
        """As SlowGo."""
        return _board_after(self.size, self.board, cell, colour)


@functools.cache
def _board_after(size: int, board: Board, cell: int, colour: int) -> Board:
    return SlowGo(size, board=board).after(cell, colour)


def compare_all_games(state: np.ndarray, slow: QuickGo, moves: int) -> int:
    """Compare legal moves in every game of so many more moves; return the positions compared."""
    cells = slow.size**2
    legal = [cell for cell in range(cells) if slow.is_legal(cell)]
    assert legal_of(state) == [*legal, cells], slow.history
    count = 1
    for move in [*legal, None] if moves and slow.passes < 2 else []:
        after, played = copy.copy(slow), state.copy()
        after.history = list(slow.history)
        after.play(move)
        rules.play(played, cells if move is None else move)
        count += compare_all_games(played, after, moves - 1)
    return count


@pytest.mark.parametrize("ko", KO_RULES)
@pytest.mark.parametrize("suicide", [False, True])
def test_every_short_game_on_2x2(ko: str, suicide: bool) -> None:
    assert compare_all_games(new_state(2, ko, suicide), QuickGo(2, ko, suicide), 9) > 5_000


@kernel
def count_legal_positions(state: np.ndarray, first: int, last: int) -> int:
    """Count the numbers of [first, last) that are legal boards when read in base three."""
    count = 0
    cells = np.zeros(state[b.SIZE] ** 2, np.int8)
    for number in range(first, last):
        rest = number
        for cell in range(cells.size):
            cells[cell] = rest % 3
            rest //= 3
        count += rules.set_position(state, cells, 0)
    return count


@pytest.mark.parametrize(("size", "published"), [(1, 1), (2, 57), (3, 12_675)])
def test_number_of_legal_positions(size: int, published: int) -> None:
    # Tromp and Farnebäck 2007, Combinatorics of Go, table 1.
    assert count_legal_positions(new_state(size), 0, 3 ** (size * size)) == published


def test_number_of_legal_positions_on_4x4() -> None:
    # The last cell is the highest digit: empty, black, or white, which mirrors black.
    third = 3**15
    with ThreadPoolExecutor(2) as pool:
        parts = [
            pool.submit(
                count_legal_positions, new_state(4), part * third // 2, (part + 1) * third // 2
            )
            for part in range(4)
        ]
    empty, black = parts[0].result() + parts[1].result(), parts[2].result() + parts[3].result()
    assert empty + 2 * black == 24_318_165


@kernel
def measure_chain(
    colours: np.ndarray, label: np.ndarray, stack: np.ndarray, y: int, x: int, number: int
) -> tuple[int, int]:
    """Number a chain by filling it; return its stones and (stone, empty neighbour) pairs."""
    label[y, x] = number
    stack[0] = y * 64 + x
    todo, stones, pairs = 1, 0, 0
    while todo:
        todo -= 1
        row, column = stack[todo] // 64, stack[todo] % 64
        stones += 1
        for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            r, c = row + down, column + right
            pairs += colours[r, c] == 0
            if colours[r, c] == colours[y, x] and label[r, c] == 0:
                label[r, c] = number
                stack[todo] = r * 64 + c
                todo += 1
    return stones, pairs


@kernel
def count_faults(state: np.ndarray, mask: np.ndarray, rng: np.ndarray, games: int) -> np.ndarray:
    """Play random games, own eyes filled too; count faults of the bookkeeping.

    Returns moves played, wrong hashes, wrong liberties, wrong chain sizes, repeated positions.
    """
    size = state[b.SIZE]
    fresh = state.copy()
    counts = np.zeros(5, np.int64)
    label = np.zeros((size + 2, size + 2), np.int32)
    colours = np.full((size + 2, size + 2), 3, np.int32)
    seen = np.zeros(4096, np.int64)
    stack = np.zeros(4 * size * size, np.int32)
    for _ in range(games):
        state[:] = fresh
        boards = 0
        while state[OUTCOME] == UNDECIDED:
            rules.legal(state, mask)
            if np.sum(mask) > 1:
                mask[size * size] = 0
            action = random_legal_action(mask, rng)
            rules.play(state, action)
            counts[0] += 1
            low, high = np.int64(0), np.int64(0)
            for y in range(1, size + 1):
                for x in range(1, size + 1):
                    colour = state[b.at(y * b.ROW + x) + b.COLOUR]
                    colours[y, x] = colour
                    label[y, x] = 0
                    if colour != 0:
                        low ^= b.ZOBRIST[colour, y * b.ROW + x, 0]
                        high ^= b.ZOBRIST[colour, y * b.ROW + x, 1]
            counts[1] += low != state[b.HASH] or high != state[b.HASH_2]
            if action != size * size:
                seen[boards] = (low << 32) ^ (high & 0xFFFFFFFF)
                boards += 1
            number = 0
            for y in range(1, size + 1):
                for x in range(1, size + 1):
                    if colours[y, x] == 0 or label[y, x]:
                        continue
                    number += 1
                    stones, pairs = measure_chain(colours, label, stack, y, x, number)
                    head = b.at(state[b.at(y * b.ROW + x) + b.HEAD])
                    counts[2] += pairs != state[head + b.LIBERTIES] or pairs == 0
                    counts[3] += stones != state[head + b.STONES]
        played = np.sort(seen[:boards])
        for index in range(1, boards):
            counts[4] += played[index] == played[index - 1]
    return counts


@pytest.mark.parametrize(("size", "games"), [(3, 3_000), (5, 3_000), (9, 2_000), (19, 60)])
def test_bookkeeping_over_a_million_moves(size: int, games: int) -> None:
    state, mask = new_state(size), np.zeros(size * size + 1, np.uint8)
    counts = count_faults(state, mask, random_state(size)[0], games)
    assert counts[0] > 60_000
    assert counts[1:].tolist() == [0, 0, 0, 0]
