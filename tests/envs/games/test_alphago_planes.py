"""AlphaGo's planes: the kernels against the slow version, and positions made by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.games.go import alphago_planes as planes
from envs.games.go import board as b
from envs.games.go import ladders, rules
from envs.games.options import KO_RULES
from envs.games.state import TO_MOVE
from tests.envs.games.slow_alphago import slow_planes
from tests.envs.games.slow_go import SlowGo
from tests.envs.games.test_go_rules import from_picture, legal_of, new_state, play


def planes_of(state: np.ndarray, count: int = planes.VALUE_PLANES) -> np.ndarray:
    """All planes, uint8 [planes, H, W], written over rubbish."""
    size = int(state[b.SIZE])
    written = np.full((count, size, size), 7, np.uint8)
    before = state.copy()
    planes.observe(state, ladders.ladder_boards(size), written)
    assert np.array_equal(state, before)
    return written


def marked(state: np.ndarray, plane: int, count: int = 1) -> dict[tuple[int, int], int]:
    """Row and column of every marked cell of planes one after another, and which plane, from 1."""
    found = np.argwhere(planes_of(state)[plane : plane + count])
    return {(int(row), int(column)): int(index) + 1 for index, row, column in found}


def check(state: np.ndarray, slow: SlowGo) -> None:
    """Every plane equals the slow version's."""
    size, first = slow.size, 0
    found = planes_of(state).reshape(planes.VALUE_PLANES, size * size)
    for name, expected in slow_planes(slow, legal_of(state)[:-1]).items():
        here = found[first : first + len(expected)]
        assert np.array_equal(here, expected), (name, slow.board, slow.to_move)
        first += len(expected)
    assert first == planes.VALUE_PLANES


@settings(max_examples=12)
@given(
    size=st.integers(2, 6),
    ko=st.sampled_from(KO_RULES),
    suicide=st.booleans(),
    seed=st.integers(0, 10**9),
)
def test_random_games_have_the_planes_of_the_paper(
    size: int, ko: str, suicide: bool, seed: int
) -> None:
    draw = random.Random(seed)
    state, slow = new_state(size, ko, suicide), SlowGo(size, ko, suicide)
    for _ in range(3 * size * size):
        if draw.random() < 0.25:
            check(state, slow)
        moves = legal_of(state)[:-1]
        move = draw.choice(moves) if moves and draw.random() < 0.97 else None
        if move is None and slow.passes:
            break
        rules.play(state, size * size if move is None else move)
        slow.play(move)


@pytest.mark.parametrize(("size", "positions"), [(9, 6), (13, 1), (19, 1)])
def test_given_stones_on_larger_boards(size: int, positions: int) -> None:
    rng = np.random.default_rng(size)
    checked = 0
    while checked < positions:
        share = rng.uniform(0.2, 0.45)
        cells = rng.choice(3, size * size, p=[1 - 2 * share, share, share]).astype(np.int8)
        state = new_state(size, "simple", False)
        if not rules.set_position(state, cells, int(rng.integers(2))):
            continue
        slow = SlowGo(size, "simple", False, tuple(map(int, cells)), int(state[TO_MOVE]) + 1)
        check(state, slow)
        checked += 1


def changed(rows: list[str], *stones: tuple[int, int, str]) -> str:
    """A picture with stones put in."""
    table = [list(row) for row in rows]
    for row, column, symbol in stones:
        table[row][column] = symbol
    return "\n".join("".join(row) for row in table)


def ladder(size: int) -> list[str]:
    """A white stone with one liberty, at (4, 2), around which a ladder runs down to the right."""
    rows = ["." * size for _ in range(size)]
    stones = [(2, 2, "X"), (3, 1, "X"), (3, 2, "O"), (3, 3, "X"), (4, 1, "X")]
    return changed(rows, *stones).split()


@pytest.mark.parametrize("size", [9, 19])
def test_a_ladder_works_until_a_stone_far_away_breaks_it(size: int) -> None:
    rows = ladder(size)
    assert marked(from_picture("\n".join(rows), 2), planes.LADDER_ESCAPE) == {}
    far = size - 3
    for row, column in ((far, far - 1), (far + 1, far - 1), (far + 1, far)):
        broken = from_picture(changed(rows, (row, column, "O")), 2)
        assert marked(broken, planes.LADDER_ESCAPE) == {(4, 2): 1}, (row, column)
    for row, column in ((1, far), (far, 0)):
        apart = from_picture(changed(rows, (row, column, "O")), 2)
        assert marked(apart, planes.LADDER_ESCAPE) == {}, (row, column)


def test_only_the_right_atari_starts_the_ladder() -> None:
    # Without the stone at (3, 3) White has two liberties; from below it would be driven into the
    # open.
    rows = changed(ladder(9), (3, 3, "."))
    assert marked(from_picture(rows, 1), planes.LADDER_CAPTURE) == {(3, 3): 1}
    broken = changed(rows.split(), (6, 5, "O"))
    assert marked(from_picture(broken, 1), planes.LADDER_CAPTURE) == {}


def test_a_snapback_is_a_ladder_of_one_step() -> None:
    state = from_picture(
        """
        ......
        ......
        ......
        XXXXXX
        XOOOOX
        XO..OX
        """,
        1,
    )
    assert marked(state, planes.LADDER_CAPTURE) == {(5, 2): 1, (5, 3): 1}
    assert marked(state, planes.SELF_ATARI, 8) == {(5, 2): 1, (5, 3): 1}
    assert marked(state, planes.CAPTURES, 8) == {}
    play(state, (5, 2), (5, 3))  # White takes one stone, Black takes eight
    assert marked(state, planes.CAPTURES, 8) == {(5, 2): 7}
    assert marked(state, planes.TURNS, 8)[5, 3] == 1


def test_a_race_is_won_by_capturing_first() -> None:
    picture = """
        XOX..
        XOX..
        .....
        .....
        .....
        """
    black, white = from_picture(picture, 1), from_picture(picture, 2)
    # Extending does not save Black's two stones, taking White's two does.
    assert marked(black, planes.LADDER_ESCAPE) == {(2, 1): 1}
    assert marked(black, planes.CAPTURES, 8) == {(2, 1): 2}
    assert (2, 0) in marked(white, planes.LADDER_ESCAPE)
    assert marked(white, planes.CAPTURES, 8) == {(2, 0): 2}


def test_the_policy_has_no_plane_for_the_colour() -> None:
    white = from_picture("...\n.X.\n...", 2)
    assert np.array_equal(planes_of(white, 48), planes_of(white)[:48])
    assert not planes_of(white)[planes.COLOUR_TO_MOVE].any()
    assert planes_of(from_picture("...\n.X.\n...", 1))[planes.COLOUR_TO_MOVE].all()
