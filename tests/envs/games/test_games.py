"""What every game keeps to, and the published counts of the small ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from core.machine.kernels import kernel
from core.machine.random_numbers import random_below, random_state
from envs.games.game import Game, play_uniformly, random_legal_action
from envs.games.options import GoOptions, OthelloOptions
from envs.games.registry import GAMES, find_game, load_game
from envs.games.state import (
    HEADER_WORDS,
    LAST_ACTION,
    MOVE_NUMBER,
    OUTCOME,
    TO_MOVE,
    UNDECIDED,
    is_over,
)
from envs.games.symmetry import symmetries, turn_actions, turn_planes


def start(game: Game, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    chosen = game.options(**options)
    return game.initial_state(chosen), np.zeros(game.actions(chosen), np.uint8)


SMALL = {"go": {"size": 5}, "gomoku": {"size": 7}, "othello": {"size": 6}}


@pytest.mark.parametrize("name", GAMES)
def test_random_games_keep_the_contract(name: str) -> None:
    game = load_game(name)
    options = game.options(**SMALL.get(name, {}))
    rng = random_state(3)[0]
    cells = np.zeros(np.prod(options.shape), np.int8)
    planes = np.zeros((game.planes, *options.shape), np.uint8)
    mask = np.zeros(game.actions(options), np.uint8)
    for _ in range(20):
        state = game.initial_state(options)
        moves = 0
        while state[OUTCOME] == UNDECIDED:
            game.legal(state, mask)
            assert mask.any()
            assert set(mask) <= {0, 1}
            action = random_legal_action(mask, rng)
            player = state[TO_MOVE]
            game.play(state, action)
            moves += 1
            assert (state[TO_MOVE], state[MOVE_NUMBER]) == (1 - player, moves)
            assert state[LAST_ACTION] == action
            game.cells(state, cells)
            game.observe(state, planes)
            own = state[TO_MOVE] + 1
            np.testing.assert_array_equal(planes[0].ravel(), cells == own)
            np.testing.assert_array_equal(planes[1].ravel(), cells == 3 - own)
        assert np.sign(game.score(state)) == state[OUTCOME]


@pytest.mark.parametrize("name", GAMES)
def test_symmetries_commute_with_play(name: str) -> None:
    game = load_game(name)
    options = game.options(**SMALL.get(name, {}))
    cells, actions = symmetries(game, options)
    assert len({tuple(row) for row in cells}) == {"square": 8, "mirror": 2}[game.symmetry]
    rng = random_state(5)[0]
    for cell_map, action_map in zip(cells, actions, strict=True):
        state, turned = game.initial_state(options), game.initial_state(options)
        if name == "othello":
            # The four stones at the start are not symmetric under a quarter turn.
            board = state[HEADER_WORDS:].reshape(options.shape)
            turned[HEADER_WORDS:] = turn_planes(board, cell_map).ravel()
        masks = np.zeros((2, game.actions(options)), np.uint8)
        planes = np.zeros((2, game.planes, *options.shape), np.uint8)
        while not is_over(state):
            game.legal(state, masks[0])
            game.legal(turned, masks[1])
            np.testing.assert_array_equal(turn_actions(masks[0], action_map), masks[1])
            action = random_legal_action(masks[0], rng)
            game.play(state, action)
            game.play(turned, action_map[action])
            game.observe(state, planes[0])
            game.observe(turned, planes[1])
            np.testing.assert_array_equal(turn_planes(planes[0], cell_map), planes[1])
        assert state[OUTCOME] == turned[OUTCOME]


@pytest.mark.parametrize("name", GAMES)
def test_playouts_end_and_repeat_with_their_seed(name: str) -> None:
    game = load_game(name)
    fresh, mask = start(game, **SMALL.get(name, {}))
    results = []
    for _ in range(2):
        rng = random_state(11)[0]
        outcomes = []
        for _ in range(30):
            state = fresh.copy()
            game.playout(state, rng, mask)
            outcomes.append(int(state[OUTCOME]))
        results.append(outcomes)
    assert results[0] == results[1]
    assert {-1, 1} <= set(results[0]) <= {-1, 0, 1}


@kernel
def count_games(game: Any, state: np.ndarray, depth: int) -> int:
    """Number of sequences of moves of this length; a pass is a move."""
    stack = np.empty((depth + 1, state.size), np.int32)
    mask = np.zeros((depth + 1, 65), np.uint8)
    next_action = np.zeros(depth + 1, np.int64)
    stack[0] = state
    game.legal(stack[0], mask[0])
    level, count = 0, 0
    while level >= 0:
        if level == depth or is_over(stack[level]) or next_action[level] == mask.shape[1]:
            count += level == depth
            level -= 1
            continue
        action = next_action[level]
        next_action[level] += 1
        if mask[level, action]:
            stack[level + 1] = stack[level]
            game.play(stack[level + 1], action)
            level += 1
            next_action[level] = 0
            if level < depth:
                mask[level] = 0
                game.legal(stack[level], mask[level])
    return count


def test_othello_perft() -> None:
    # https://www.aartbik.com/strategy.php, depths 1 to 8, in which nobody has to pass.
    state = load_game("othello").initial_state(OthelloOptions())
    counts = [count_games(load_game("othello"), state, depth) for depth in range(1, 9)]
    assert counts == [4, 12, 56, 244, 1_396, 8_200, 55_092, 390_216]


def positions_after(game: Game, plies: int) -> list[int]:
    """Number of different positions after 0, 1, 2, ... plies."""
    state, mask = start(game)
    level = {state.tobytes(): state}
    counts = [1]
    for _ in range(plies):
        following = {}
        for position in level.values():
            if is_over(position):
                continue
            game.legal(position, mask)
            for action in np.flatnonzero(mask):
                child = position.copy()
                game.play(child, action)
                child[LAST_ACTION] = 0
                following[child.tobytes()] = child
        level = following
        counts.append(len(level))
    return counts


def test_connect_four_positions() -> None:
    # OEIS A212693: distinct positions after n plies.
    assert positions_after(load_game("connect-four"), 6) == [1, 7, 49, 238, 1_120, 4_263, 16_422]


def test_tic_tac_toe_positions_and_games() -> None:
    game = load_game("tic-tac-toe")
    assert sum(positions_after(game, 9)) == 5_478
    results = {-1: 0, 0: 0, 1: 0}

    def visit(state: np.ndarray) -> None:
        if is_over(state):
            results[int(state[OUTCOME])] += 1
            return
        mask = np.zeros(9, np.uint8)
        game.legal(state, mask)
        for action in np.flatnonzero(mask):
            child = state.copy()
            game.play(child, action)
            visit(child)

    visit(start(game)[0])
    assert results == {1: 131_184, -1: 77_904, 0: 46_080}


def test_othello_passes_and_ends_when_nobody_can_move() -> None:
    game = load_game("othello")
    options = game.options(size=4)
    seen_pass = False
    for seed in range(200):
        rng = random_state(seed)[0]
        state, mask = game.initial_state(options), np.zeros(17, np.uint8)
        while not is_over(state):
            game.legal(state, mask)
            if mask[16]:
                assert mask.sum() == 1
                seen_pass = True
            game.play(state, random_legal_action(mask, rng))
    assert seen_pass


def slow_five(board: np.ndarray) -> bool:
    """Tell whether five of a colour stand in a row anywhere."""
    size = len(board)
    for row in range(size):
        for column in range(size):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                last_row, last_column = row + 4 * down, column + 4 * right
                if 0 <= last_row < size and 0 <= last_column < size:
                    line = {board[row + i * down, column + i * right] for i in range(5)}
                    if line in ({1}, {2}):
                        return True
    return False


def test_gomoku_ends_at_five() -> None:
    game = load_game("gomoku")
    decided = 0
    for seed in range(40):
        rng = random_state(seed)[0]
        state, mask = start(game, size=6)
        while not is_over(state):
            game.legal(state, mask)
            game.play(state, random_legal_action(mask, rng))
            board = state[HEADER_WORDS:].reshape(6, 6)
            assert slow_five(board) == (state[OUTCOME] in (-1, 1))
        decided += state[OUTCOME] != 0
    assert 0 < decided < 40


def test_uniform_play_is_uniform() -> None:
    game = load_game("tic-tac-toe")
    rng = random_state(1)[0]
    fresh, mask = start(game)
    outcomes = []
    for _ in range(20_000):
        state = fresh.copy()
        play_uniformly(game, state, rng, mask)
        outcomes.append(int(state[OUTCOME]))
    # Known chances under random play: 0.585 for the first player, 0.127 for a draw.
    assert np.mean(np.array(outcomes) == 1) == pytest.approx(0.585, abs=0.012)
    assert np.mean(np.array(outcomes) == 0) == pytest.approx(0.127, abs=0.009)


def test_random_below_is_uniform() -> None:
    rng = random_state(2)[0]
    counts = np.bincount([random_below(rng, 7) for _ in range(70_000)], minlength=7)
    assert len(counts) == 7
    assert abs(counts - 10_000).max() < 400


def test_names_say_sizes() -> None:
    assert find_game("go-9x9")[1] == find_game("go9")[1] == {"size": 9}
    for name in ("chess", "go-9x7", "tic-tac-toe-5"):
        with pytest.raises(UserError, match="there is no game"):
            find_game(name)


@pytest.mark.parametrize("options", [{"size": 20}, {"komi": float("nan")}, {"komi": 0.25},
                                     {"handicap": 10}, {"rules": "japanese"}])  # fmt: skip
def test_bad_options_of_go_are_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        GoOptions(**options).encode()
    assert "\n" not in str(error.value)
