"""Board games for libraries that train one agent: by Gymnasium's and stable-baselines3's checks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_for_sb3

from core.errors import UserError
from envs.games.registry import GAMES
from envs.games.single import AgainstPlayer
from play.gymnasium import board_game_against

SMALL: dict[str, Any] = {"go": {"size": 5}, "othello": {"size": 4}, "gomoku": {"size": 5}}


@pytest.mark.parametrize("name", GAMES)
def test_it_is_an_environment(name: str) -> None:
    env = board_game_against(name, **SMALL.get(name, {}))
    with warnings.catch_warnings():
        # Advice on spaces that look like images.
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
        check_for_sb3(env)
    env.close()


@pytest.mark.parametrize("name", GAMES)
def test_legal_play_ends_with_the_outcome_of_the_game(name: str) -> None:
    env = board_game_against(name, "uct:10,resign=0", **SMALL.get(name, {}))
    draw = np.random.default_rng(0)
    sides = set()
    for game in range(4):
        observation, info = env.reset(seed=game)
        sides.add(env.agent)
        over = False
        while not over:
            assert np.array_equal(info["action_mask"], env.action_masks())
            assert np.array_equal(observation, env.session.observation())
            action = draw.choice(np.flatnonzero(info["action_mask"]))
            observation, reward, over, _, info = env.step(action)
            assert over or reward == 0
        assert reward == env.session.outcome * (1 - 2 * env.agent)
        assert not info["action_mask"].any()
    assert sides == {0, 1}
    env.close()


def test_an_illegal_move_loses_and_a_resignation_wins() -> None:
    env = board_game_against("tic-tac-toe", side="first")
    env.reset(seed=0)
    env.step(4)
    _, reward, over, _, info = env.step(np.array([4]))
    assert (reward, over, info["illegal_action"]) == (-1.0, True, 4)
    env = board_game_against("go", "uct:200", side="first", size=5, komi=-100.0)
    env.reset(seed=0)
    _, reward, over, _, info = env.step(12)
    assert (reward, over) == (1.0, True)
    assert not info["action_mask"].any()


def test_an_opponent_that_gives_up_before_the_first_step_moves_all_the_same() -> None:
    env = board_game_against("go", "uct:200", side="second", size=5, komi=100.0)
    _, info = env.reset(seed=0)
    assert env.session.to_move == env.agent == 1
    assert info["action_mask"].any()


def test_the_opponent_must_play_the_game() -> None:
    with pytest.raises(UserError, match="not Othello"):
        board_game_against("othello", "shipped")


def mean_reward(model: PPO, env: AgainstPlayer, games: int = 60) -> float:
    total = 0.0
    for game in range(games):
        observation, _ = env.reset(seed=1_000 + game)
        over = False
        while not over:
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, over, _, _ = env.step(action)
        total += float(reward)
    return total / games


def test_ppo_of_stable_baselines3_learns_to_play() -> None:
    env = board_game_against("tic-tac-toe")
    model = PPO("MlpPolicy", env, n_steps=512, seed=0, device="cpu")
    before = mean_reward(model, env)
    model.learn(3_000)
    assert mean_reward(model, env) > before + 0.3
