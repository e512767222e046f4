"""The rules of Go in positions made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import UserError
from envs.games.aec import board_game
from envs.games.batch import GameBatch
from envs.games.go import board as b
from envs.games.go import rules
from envs.games.go.features import copy_cells, observe, ownership
from envs.games.go.game import GO
from envs.games.options import KO_RULES, GoOptions, fixed_handicap
from envs.games.state import MOVE_NUMBER, OUTCOME, TO_MOVE, UNDECIDED


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
