"""The game that docs/games.md adds works everywhere, from the page's own text."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pettingzoo.test import api_test

from core.random_numbers import random_state
from envs.games.aec import BoardGame
from envs.games.batch import GameBatch
from envs.games.session import Session
from envs.games.text import board_text
from play.match import play_match
from search.player import RandomPlayer
from search.uct import UctOptions, UctPlayer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "games.md"


@pytest.fixture(scope="module")
def hex_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 75
    file = tmp_path_factory.mktemp("games") / "hex_from_page.py"
    file.write_text(code, "utf-8")
    spec = importlib.util.spec_from_file_location("hex_from_page", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["hex_from_page"] = module
    spec.loader.exec_module(module)
    return module


def test_hex_has_a_winner_always(hex_module: Any) -> None:
    game, options = hex_module.HEX, hex_module.HexOptions(size=5)
    rng, mask = random_state(1)[0], np.zeros(25, np.uint8)
    outcomes = []
    for _ in range(200):
        state = game.initial_state(options)
        game.playout(state, rng, mask)
        outcomes.append(int(state[2]))
    assert set(outcomes) == {-1, 1}


def test_hex_is_won_by_the_right_edges(hex_module: Any) -> None:
    game, options = hex_module.HEX, hex_module.HexOptions(size=3)
    session = Session(game, options)
    for move in ["B3", "A1", "B2", "C1", "B1"]:
        assert not session.is_over
        session.play(session.action_of(move))
    assert session.outcome == 1
    assert "(X)" in board_text(session)


def test_hex_is_searched_batched_and_offered_to_pettingzoo(hex_module: Any) -> None:
    game, options = hex_module.HEX, hex_module.HexOptions(size=4)
    player = UctPlayer(UctOptions(playouts=1_000, threads=1))
    *_, (_, score) = play_match([(player, RandomPlayer())], game, options, games=10)
    assert score.wins >= 9
    batch = GameBatch(game, options, games=3)
    batch.reset()
    assert batch.step(np.array([0, 1, 2])).legal.sum() == 45
    api_test(BoardGame(game, options), num_cycles=50)
