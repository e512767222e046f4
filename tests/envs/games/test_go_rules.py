"""Go's kernels against the rules written slowly, published counts and positions made by hand."""

from __future__ import annotations

import copy
import functools
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.machine.kernels import kernel
from core.machine.random_numbers import random_state
from envs.games.aec import board_game
from envs.games.batch import GameBatch
from envs.games.game import random_legal_action
from envs.games.go import board as b
from envs.games.go import rules
from envs.games.go.features import copy_cells, observe, ownership
from envs.games.go.game import GO
from envs.games.options import KO_RULES, GoOptions, fixed_handicap
from envs.games.state import MOVE_NUMBER, OUTCOME, TO_MOVE, UNDECIDED
from tests.envs.games.slow_go import Board, SlowGo


def new_state(
    size: int, ko: str = "positional", suicide: bool = True, komi2: int = 0
) -> np.ndarray:
    limit = 3 * size * size + 50
    state = np.zeros(rules.state_words(size, limit), np.int32)
    rules.new(state, np.array([size, komi2, KO_RULES.index(ko), suicide, limit], np.int32))
    return state


def cells_of(state: np.ndarray) -> tuple[int, ...]:
    cells = np.zeros(state[b.SIZE] ** 2, np.int8)
    copy_cells(state, cells)
    return tuple(int(cell) for cell in cells)


def legal_of(state: np.ndarray) -> list[int]:
    mask = np.zeros(state[b.SIZE] ** 2 + 1, np.uint8)
    rules.legal(state, mask)
    return [int(action) for action in np.flatnonzero(mask)]


def from_picture(picture: str, to_move: int = 1, **options: object) -> np.ndarray:
    """A position from rows of . X O."""
    rows = picture.split()
    state = new_state(len(rows), **options)  # type: ignore[arg-type]
    cells = np.array([".XO".index(symbol) for row in rows for symbol in row], np.int8)
    assert rules.set_position(state, cells, to_move - 1)
    return state


def picture_of(state: np.ndarray) -> list[str]:
    size = state[b.SIZE]
    text = "".join(".XO"[cell] for cell in cells_of(state))
    return [text[row * size : (row + 1) * size] for row in range(size)]


def may_play(state: np.ndarray, row: int, column: int) -> bool:
    return row * int(state[b.SIZE]) + column in legal_of(state)


def play(state: np.ndarray, *moves: tuple[int, int] | None) -> None:
    """Play legal moves (row, column); None passes."""
    size = int(state[b.SIZE])
    for move in moves:
        action = size * size if move is None else move[0] * size + move[1]
        assert action in legal_of(state)
        rules.play(state, action)


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


@pytest.mark.parametrize("ko", KO_RULES)
def test_snapback_is_no_ko(ko: str) -> None:
    state = from_picture("..OX. OOX.. XX... ..... .....", ko=ko)
    play(state, (0, 0), (0, 1))
    assert picture_of(state)[0] == ".OOX."
    play(state, (0, 0))
    assert picture_of(state)[:2] == ["X..X.", "..X.."]
    assert state[b.WHITE_PRISONERS] == 4


def test_simple_ko_forbids_the_retake_until_a_move_elsewhere() -> None:
    state = from_picture(".XO.. XO.O. .XO.. ..... .....", ko="simple")
    play(state, (1, 2))
    assert not may_play(state, 1, 1)
    play(state, (4, 4), (4, 0))
    assert may_play(state, 1, 1)


def test_a_pass_lifts_simple_ko() -> None:
    state = from_picture(".XO.. XO.O. .XO.. ..... .....", ko="simple")
    play(state, (1, 2), None, None)
    rules.resume(state)
    assert may_play(state, 1, 1)


def test_sending_two_returning_one() -> None:
    start = ".X.X. OOXX. ..... ..... ....."
    legal = {}
    for ko in KO_RULES:
        state = from_picture(start, ko=ko)
        play(state, (0, 0), (0, 2))
        assert picture_of(state)[0] == "..OX."
        legal[ko] = may_play(state, 0, 1)
        if ko == "situational":
            play(state, (0, 1), None)
            assert picture_of(state)[0] == ".X.X."
            assert not may_play(state, 0, 0)
    assert legal == {"simple": True, "positional": False, "situational": True}


def test_triple_ko() -> None:
    # Black may take the first and the third ko, White holds the second ready to be taken.
    start = (
        ".XO...... XO.O..... .XO...... .XO...... X.XO..... .XO...... .XO...... XO.O..... .XO......"
    )
    for ko in KO_RULES:
        state = from_picture(start, ko=ko)
        play(state, (1, 2), (4, 1), (7, 2), (1, 1), (4, 2))
        assert may_play(state, 7, 1) == (ko == "simple")


def test_suicide_of_several_stones() -> None:
    picture = "X.O.. OOO.. ..... ..... ....."
    assert not may_play(from_picture(picture, suicide=False), 0, 1)
    state = from_picture(picture, suicide=True)
    play(state, (0, 1))
    assert picture_of(state)[0] == "..O.."
    assert state[b.BLACK_PRISONERS] == 2


@pytest.mark.parametrize("ko", KO_RULES)
def test_suicide_of_one_stone_is_never_allowed(ko: str) -> None:
    assert not may_play(from_picture(".O... OO... ..... ..... .....", ko=ko), 0, 0)


def test_a_capture_is_not_suicide() -> None:
    state = from_picture(".OX.. OX... X.... ..... .....", suicide=False)
    play(state, (0, 0))
    assert picture_of(state)[:2] == ["X.X..", ".X..."]


def test_shared_liberties_belong_to_nobody() -> None:
    state = from_picture("XX.OO XX.OO XX.OO XX.OO XX.OO")
    assert rules.score(state) == 0
    owners = np.zeros(25, np.int8)
    ownership(state, owners)
    assert owners.reshape(5, 5)[:, 2].tolist() == [0] * 5


def test_score_counts_surrounded_points_and_compensation() -> None:
    state = new_state(5, komi2=7)
    assert rules.score(state) == -7
    play(state, (2, 2))
    assert rules.score(state) == 2 * 25 - 7


def test_one_line_has_only_the_pass() -> None:
    state = new_state(1)
    assert legal_of(state) == [1]
    play(state, None, None)
    assert state[OUTCOME] == 0


def test_a_full_board_can_be_emptied_by_suicide() -> None:
    state = from_picture("XX. XXX XXX", suicide=True)
    play(state, (0, 2))
    assert picture_of(state) == ["...", "...", "..."]
    assert state[b.EMPTIES] == 9


def test_a_position_without_liberties_is_refused() -> None:
    state = new_state(2)
    assert not rules.set_position(state, np.ones(4, np.int8), 0)
    assert cells_of(state) == (0, 0, 0, 0)


def test_the_move_limit_ends_the_game_as_it_stands() -> None:
    options = GoOptions(size=5, komi=0.5, move_limit=3)
    state = GO.initial_state(options)
    play(state, (2, 2), (0, 0))
    assert state[OUTCOME] == UNDECIDED
    play(state, (0, 4))
    assert (state[OUTCOME], state[b.END]) == (1, rules.MOVE_LIMIT_REACHED)


def test_play_beyond_the_move_limit_is_safe() -> None:
    state = GO.initial_state(GoOptions(size=2, move_limit=2))
    before = len(state)
    for _ in range(50):
        rules.resume(state)
        rules.play(state, 4)
    assert len(state) == before
    assert state[MOVE_NUMBER] == 50


def test_handicap_stones_stand_where_gtp_says() -> None:
    state = GO.initial_state(GoOptions(size=9, handicap=5, komi=0.5, rules="chinese"))
    assert picture_of(state)[2] == "..X...X.."
    assert picture_of(state)[4] == "....X...."
    assert (state[TO_MOVE], state[b.COMPENSATION]) == (1, 11)
    assert len(set(fixed_handicap(19, 9))) == 9


def test_no_handicap_is_paid_without_its_stones() -> None:
    with pytest.raises(UserError, match="no stone"):
        GoOptions(handicap=1)
    with pytest.raises(UserError, match="no fixed places on 5x5"):
        GO.initial_state(GoOptions(size=5, handicap=3))
    options = GoOptions(size=9, handicap=4)
    assert GameBatch(GO, options, 2).reset().to_move.tolist() == [1, 1]
    env = board_game("go", size=9, handicap=4)
    env.reset()
    assert env.agent_selection == "player_1"
    assert env.observe("player_0")["observation"][0].sum() == 4


def test_observation_shows_the_last_eight_boards() -> None:
    state = new_state(5)
    moves = [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (0, 4), (4, 0), (0, 2), (2, 0)]
    play(state, *moves)
    planes = np.ones((17, 5, 5), np.uint8)
    observe(state, planes)
    own = [moves[i] for i in (1, 3, 5, 7)]  # White is to move.
    other = [moves[i] for i in (0, 2, 4, 6, 8)]
    assert sorted(zip(*np.nonzero(planes[0]), strict=True)) == sorted(own)
    assert sorted(zip(*np.nonzero(planes[1]), strict=True)) == sorted(other)
    # Seven moves ago there was one stone of each.
    assert np.argwhere(planes[14]).tolist() == [[1, 1]]
    assert np.argwhere(planes[15]).tolist() == [[0, 0]]
    assert not planes[16].any()
    play(state, None)
    observe(state, planes)
    assert planes[16].all()
    assert sorted(zip(*np.nonzero(planes[0]), strict=True)) == sorted(other)


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
