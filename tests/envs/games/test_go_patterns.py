"""Patterns, their upkeep and the playouts that use them, against a slow version and by hand."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from core.errors import UserError
from core.files.tensor_file import chunks
from core.machine.random_numbers import random_state
from envs.games.go import board as b
from envs.games.go import patterns, rollout, rules, watch
from envs.games.go.features import copy_cells
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.state import LAST_ACTION, OUTCOME, TO_MOVE, UNDECIDED

Board = dict[tuple[int, int], int]


def board_of(state: np.ndarray) -> Board:
    size = int(state[b.SIZE])
    cells = np.zeros(size * size, np.int8)
    copy_cells(state, cells)
    return {divmod(cell, size): int(stone) for cell, stone in enumerate(cells)}


def around(place: tuple[int, int]) -> list[tuple[int, int]]:
    y, x = place
    return [(y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)]


def slow_liberties(board: Board, place: tuple[int, int]) -> int:
    chain, liberties, queue = {place}, set(), [place]
    while queue:
        for other in around(queue.pop()):
            if board.get(other) == 0:
                liberties.add(other)
            elif board.get(other) == board[place] and other not in chain:
                chain.add(other)
                queue.append(other)
    return min(len(liberties), 3)


def slow_shape(board: Board, place: tuple[int, int], colour: int) -> tuple[object, ...]:
    """The first in order of the eight turned neighbourhoods; own stones are 1."""
    grid: list[list[object]] = []
    for dy in (-1, 0, 1):
        grid.append([])
        for dx in (-1, 0, 1):
            other = (place[0] + dy, place[1] + dx)
            stone = board.get(other, 3)
            seen = {0: 0, 3: 3, colour: 1}.get(stone, 2)
            beside = stone in (1, 2) and 0 in (dy, dx) and (dy or dx)
            grid[-1].append((seen, slow_liberties(board, other) if beside else 0))
    turns = []
    for _ in range(4):
        grid = [list(row) for row in zip(*grid[::-1], strict=True)]
        turns += [tuple(map(tuple, grid)), tuple(map(tuple, grid[::-1]))]
    return min(turns)


def is_slow_eye(board: Board, place: tuple[int, int], colour: int) -> bool:
    if any(board.get(other, colour) != colour for other in around(place)):
        return False
    y, x = place
    corners = [board.get((y + dy, x + dx), 3) for dy in (-1, 1) for dx in (-1, 1)]
    return corners.count(3 - colour) + (3 in corners) < 2


def new_state(size: int) -> np.ndarray:
    return GO.initial_state(GoOptions(size=size, rules="chinese"))


def random_positions(size: int, moves: int, seed: int) -> list[np.ndarray]:
    """A random game as a list of positions, moves and passes of legal kinds."""
    rng, state = np.random.default_rng(seed), new_state(size)
    mask, positions = np.zeros(size * size + 1, np.uint8), []
    for _ in range(moves):
        rules.legal(state, mask)
        actions = np.flatnonzero(mask[:-1])
        rules.play(state, int(rng.choice(actions)) if len(actions) else size * size)
        if state[OUTCOME] != UNDECIDED:
            break
        positions.append(state.copy())
    return positions


@cache
def uneven_policy() -> rollout.Policy:
    """Weights drawn at random, so that no two features are alike."""
    weights = np.random.default_rng(3).normal(0, 1, patterns.TABLE_SIZE)
    return rollout.make_policy(weights.astype(np.float32))


def weights_of(state: np.ndarray, captured: int = 0) -> np.ndarray:
    """The weight of every cell for the player to move."""
    policy = uneven_policy()
    watch.watch_position(state, policy.watch, policy.shapes)
    out = np.zeros(state[b.SIZE] ** 2)
    previous = rollout.previous_point(state)
    rollout.move_weights(
        state, policy.watch, policy.factors, state[TO_MOVE] + 1, previous, captured, out
    )
    return out


@pytest.mark.parametrize("size", [5, 9, 19])
def test_shapes_are_those_of_a_slow_version(size: int) -> None:
    known: dict[int, object] = {}
    memory, policy = watch.make_watch(), uneven_policy()
    for state in random_positions(size, 2 * size * size, seed=size)[size :: 3 * size]:
        watch.watch_position(state, memory, policy.shapes)
        board = board_of(state)
        for place in [place for place, stone in board.items() if stone == 0]:
            point = b.point_of(size, place[0] * size + place[1])
            code = patterns.shape_of(state, memory, watch.LIBERTIES_AT, point)
            for colour, seen in ((1, code), (2, patterns.other_colour(code))):
                slow = slow_shape(board, place, colour)
                assert known.setdefault(patterns.smallest_shape(seen), slow) == slow
    assert len(set(known.values())) == len(known) > 50  # and different shapes have different codes


def test_what_may_be_played_is_legal_and_no_own_eye() -> None:
    eyes = 0
    for state in random_positions(7, 140, seed=1):
        weights, board, mask = weights_of(state), board_of(state), np.zeros(50, np.uint8)
        rules.legal(state, mask)
        colour = int(state[TO_MOVE]) + 1
        for cell in range(49):
            eye = is_slow_eye(board, divmod(cell, 7), colour)
            eyes += eye and bool(mask[cell])
            assert (weights[cell] > 0) == (bool(mask[cell]) and not eye)
    assert eyes > 5


@pytest.mark.parametrize(("size", "moves"), [(5, 400), (9, 400), (19, 700)])
def test_upkeep_equals_a_new_count_at_every_move(size: int, moves: int) -> None:
    policy, rng = uneven_policy(), random_state(size)[0]
    state, fresh = new_state(size), watch.make_watch()
    watch.watch_position(state, policy.watch, policy.shapes)
    colour, previous, captured, captures = 1, 0, 0, 0
    for _ in range(moves):
        point = rollout.choose(state, policy.watch, policy.factors, colour, previous, captured, rng)
        if not point:
            break
        captured = watch.play_watched(state, policy.watch, policy.shapes, point, colour)
        captures += captured > 0
        watch.watch_position(state, fresh, policy.shapes)
        kept = slice(watch.row_at(0, 0), watch.liberties_at(0))
        np.testing.assert_array_equal(policy.watch[kept], fresh[kept])
        previous, colour = point, 3 - colour
    assert captures > 3


def test_chances_sum_to_one_and_are_drawn_so() -> None:
    policy, rng = uneven_policy(), random_state(8)[0]
    state = random_positions(5, 9, seed=2)[-1]
    weights = weights_of(state)
    previous, colour = rollout.previous_point(state), int(state[TO_MOVE]) + 1
    _, special, others = rollout.weigh(state, policy.watch, policy.factors, colour, previous, 0)
    assert special > 0
    assert others > 0
    assert special + others == weights.sum()
    drawn = np.zeros(25)
    for _ in range(20_000):
        point = rollout.choose(state, policy.watch, policy.factors, colour, previous, 0, rng)
        drawn[b.cell_of(5, point)] += 1
    np.testing.assert_allclose(drawn / 20_000, weights / weights.sum(), atol=0.015)
    assert (drawn[weights == 0] == 0).all()


@pytest.mark.parametrize("way", range(8))
def test_turned_and_recoloured_positions_have_turned_policies(way: int) -> None:
    def turn(cells: np.ndarray) -> np.ndarray:
        grid = np.rot90(cells.reshape(7, 7), way % 4)
        return (grid.T if way >= 4 else grid).reshape(49)

    for state in random_positions(7, 60, seed=4)[2::6]:
        cells = np.zeros(49, np.int8)
        copy_cells(state, cells)
        last = np.arange(49) == state[LAST_ACTION]
        other = new_state(7)
        turned = turn(np.array([0, 2, 1], np.int8)[cells])
        assert rules.set_position(other, turned, 1 - state[TO_MOVE])
        if last.any():
            other[LAST_ACTION] = np.flatnonzero(turn(last))[0]
        straight = state.copy()
        straight[b.KO] = 0  # a given position has none
        np.testing.assert_array_equal(turn(weights_of(straight)), weights_of(other))


def after(moves: str, size: int = 7) -> tuple[np.ndarray, int]:
    """The position after moves such as 'c3 d4' (columns from a, rows from the top), and the last
    move's captures."""
    state = new_state(size)
    counts = [0]
    for move in moves.split():
        cell = size * size if move == "pass" else (int(move[1:]) - 1) * size + ord(move[0]) - 97
        rules.play(state, cell)
        counts.append(int(state[b.BLACK_PRISONERS] + state[b.WHITE_PRISONERS]))
    return state, [0, *(new - old for old, new in pairwise(counts))][-1]


def cells_with(state: np.ndarray, captured: int, feature: int) -> set[str]:
    """Names of the cells that have a feature."""
    from envs.games.go.special import find_special

    policy, size = uneven_policy(), int(state[b.SIZE])
    watch.watch_position(state, policy.watch, policy.shapes)
    count = find_special(
        state, policy.watch, state[TO_MOVE] + 1, rollout.previous_point(state), captured
    )
    found = set()
    for index in range(count):
        point, _, features, *places = policy.watch[watch.special_at(index) :][:8]
        if feature in places[:features]:
            row, column = divmod(int(b.cell_of(size, point)), size)
            found.add(f"{chr(97 + column)}{row + 1}")
    return found


def test_saves() -> None:
    # White's stone at d4 is put into atari; only d5 gives it air.
    assert cells_with(*after("d3 d4 c4 a7 e4"), patterns.SAVES) == {"d5"}
    # White may also take the stone at e4, which has its last liberty at f4.
    state, captured = after("d3 d4 c4 e3 g7 e5 g6 a1 e4")
    assert cells_with(state, captured, patterns.SAVES) == {"d5", "f4"}
    # On the first line with a stone in its way, running does not help.
    assert cells_with(*after("b1 a1 b2 g7 a3 g6 g5"), patterns.SAVES) == set()
    # Nothing is in atari.
    assert cells_with(*after("d3 d4 c4"), patterns.SAVES) == set()


def test_nakade() -> None:
    # Black takes three stones on the first line; the middle one has two neighbours among them.
    state, captured = after("a2 a1 b2 b1 c2 c1 d1")
    assert captured == 3
    ends, middle = patterns.NAKADE_AT + 1, patterns.NAKADE_AT + 2
    assert cells_with(state, captured, ends) == {"a1", "c1"}
    assert cells_with(state, captured, middle) == {"b1"}
    assert cells_with(state, 0, middle) == set()


def test_neighbours_of_the_previous_move() -> None:
    state, captured = after("a1")
    assert cells_with(state, captured, patterns.TOUCHES) == {"a2", "b1"}
    assert cells_with(state, captured, patterns.DIAGONAL) == {"b2"}
    assert cells_with(state, captured, patterns.RESPONSE) == {"a2", "b1", "b2", "a3", "c1"}
    assert cells_with(*after("a1 pass"), patterns.RESPONSE) == set()


@pytest.mark.parametrize("size", [1, 2, 5, 9, 13, 19])
def test_playouts_end_with_the_board_played_out(size: int) -> None:
    policy, rng = uneven_policy(), random_state(size)[0]
    mask = np.zeros(size * size + 1, np.uint8)
    for _ in range(10):
        state = new_state(size)
        rollout.pattern_playout(state, rng, mask, policy)
        assert state[OUTCOME] in (-1, 0, 1)
        assert state[OUTCOME] == np.sign(rules.score(state))
        stones = np.array(list(board_of(state).values()))
        assert (mask[:-1][stones > 0] > 0).all()  # who stands there has played there
        assert mask[-1] == 0


def test_bad_weights_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "weights.safetensors"
    with pytest.raises(UserError, match="holds no weights"):
        rollout.load_policy(file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="holds no weights"):
        rollout.load_policy(file)
    for wrong in (
        np.full(patterns.TABLE_SIZE, 1e30, np.float32),
        np.full(patterns.TABLE_SIZE, np.nan, np.float32),
    ):
        file.write_bytes(b"".join(bytes(part) for part in chunks({"weights": wrong})))
        with pytest.raises(UserError, match="numbers from -20 to 20"):
            rollout.load_policy(file)
    with pytest.raises(ValueError, match="shape"):
        rollout.make_policy(np.zeros(3))
