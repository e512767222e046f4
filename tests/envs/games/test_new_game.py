"""The game that docs/games.md adds works everywhere, from the page's own text."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pettingzoo.test import api_test

import envs.games
from commands.dispatch import main
from core.machine.random_numbers import random_state
from envs.games import registry
from envs.games.aec import BoardGame
from envs.games.batch import GameBatch
from envs.games.session import Session
from envs.games.text import board_text
from play.match import play_match
from search.player import RandomPlayer
from search.uct import UctOptions, UctPlayer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "games.md"
USE, AGAINST, GAME, LINE = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
"""The page's code: PettingZoo, Gymnasium, the new game, its line in the registry."""


@pytest.fixture(scope="module")
def hex_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`envs/games/hex.py` as the page has it, and its line in the registry."""
    assert len(GAME.splitlines()) <= 75
    folder = tmp_path_factory.mktemp("games")
    (folder / "hex.py").write_text(GAME, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envs.games, "__path__", [*envs.games.__path__, str(folder)])
        patch.setattr(registry, "GAMES", {**registry.GAMES, **added_to_the_registry(LINE)})
        yield importlib.import_module("envs.games.hex")
    del sys.modules["envs.games.hex"]


def added_to_the_registry(line: str) -> dict[str, registry.GameEntry]:
    """What a line among GAMES adds, where it is read as the file's others are."""
    added: dict[str, registry.GameEntry] = eval(f"{{{line}}}", dict(vars(registry)))
    return added


def test_the_page_makes_a_pettingzoo_environment() -> None:
    names: dict[str, Any] = {}
    exec(USE, names)
    api_test(names["env"], num_cycles=5)


def test_the_page_makes_an_environment_for_one_agent() -> None:
    names: dict[str, Any] = {}
    exec(AGAINST, names)
    env = names["env"]
    _, info = env.reset(seed=1)
    _, reward, terminated, truncated, _ = env.step(int(np.flatnonzero(info["action_mask"])[0]))
    assert (reward, terminated, truncated) == (0, False, False)
    env.close()


def test_hex_is_played_by_its_name(
    hex_module: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["hex", "--size", "4", "--games", "2", "--first", "uct:200"]
    assert main(["match", *argv]) == 0
    assert "game 2/2" in capsys.readouterr().out
    assert main(["play"]) == 0
    assert "  hex " in capsys.readouterr().out


def test_a_wrong_line_in_the_registry_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = '"hex": GameEntry("Hex", "envs.games.hex:HEX", "envs.games.options:HexOptions"),'
    games = {**registry.GAMES, **added_to_the_registry(line)}
    monkeypatch.setattr(registry, "GAMES", games)
    assert main(["play"]) == 0, "the other games are not harmed"
    capsys.readouterr()
    assert main(["match", "hex"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "has no attribute 'HexOptions'" in said
    assert "the entry of Hex in envs/games/registry.py" in said


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
