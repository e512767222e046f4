"""The PettingZoo environments by PettingZoo's own tests."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from pettingzoo.test import api_test, seed_test

from core.errors import UserError
from envs.games.aec import board_game
from envs.games.registry import GAMES


@pytest.mark.parametrize("name", GAMES)
def test_pettingzoo_api(name: str) -> None:
    with warnings.catch_warnings():
        # Its advice on observations that are dicts; PettingZoo's own games are no other.
        warnings.simplefilter("ignore")
        api_test(board_game(name), num_cycles=100)
        seed_test(lambda: board_game(name), num_cycles=50)


def test_rewards_and_turns() -> None:
    env = board_game("tic-tac-toe")
    env.reset()
    for action in (0, 3, 1, 4, 2):
        env.step(action)
    assert env.rewards == {"player_0": 1.0, "player_1": -1.0}
    assert all(env.terminations.values())
    assert not env.last()[0]["action_mask"].any()


def test_an_illegal_move_loses() -> None:
    env = board_game("tic-tac-toe")
    env.reset()
    env.step(4)
    env.step(4)
    assert env.rewards == {"player_0": 0.0, "player_1": -1.0}
    assert all(env.terminations.values())


def test_pictures() -> None:
    env = board_game("go9", render_mode="rgb_array")
    env.reset()
    empty = env.render()
    env.step(40)
    env.step(41)
    played = env.render()
    assert empty.shape == played.shape == (352, 352, 3)
    centre = 176
    assert played[centre + 6, centre + 6].sum() < 100 < empty[centre + 6, centre + 6].sum()
    text = board_game("go9", render_mode="ansi")
    text.reset()
    text.step(40)
    assert "(X)" in text.render().splitlines()[5]


def test_use_before_reset_and_bad_names() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        board_game("go").step(0)
    with pytest.raises(UserError, match="did you mean"):
        board_game("gomokku")
    with pytest.raises(UserError, match="size of the board"):
        board_game("go", size=99)


def test_the_other_player_sees_the_board_from_its_side() -> None:
    env = board_game("connect-four")
    env.reset()
    env.step(3)
    mine, theirs = env.observe("player_0")["observation"], env.observe("player_1")["observation"]
    np.testing.assert_array_equal(mine[::-1], theirs)
    assert mine[0].sum() == 1


def test_a_person_sees_every_board(capsys: pytest.CaptureFixture[str]) -> None:
    env = board_game("connect-four", render_mode="human")
    env.reset()
    env.step(3)
    env.step(3)
    shown = capsys.readouterr().out
    text = board_game("connect-four", render_mode="ansi")
    text.reset()
    boards = [text.render()]
    for action in (3, 3):
        text.step(action)
        boards.append(text.render())
    assert shown == "".join(f"{board}\n" for board in boards)


@pytest.mark.parametrize("action", [3, np.int64(3), np.array(3), np.array([3]), np.uint8(3)])
def test_every_kind_of_integer_is_an_action(action: object) -> None:
    env = board_game("connect-four")
    env.reset()
    env.step(action)
    assert env.observe("player_1")["observation"][1, 5, 3] == 1


@pytest.mark.parametrize("action", [3.0, "3", np.array([3, 4]), np.array([3.0]), [3]])
def test_what_is_no_integer_is_refused_in_a_line(action: object) -> None:
    env = board_game("connect-four")
    env.reset()
    with pytest.raises(TypeError, match="an action is an integer"):
        env.step(action)
