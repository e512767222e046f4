"""Environments of the user's own modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

from core.errors import UserError
from envs.atari.protocol import AtariConfig
from envs.gymnasium.lanes import GymnasiumLanes
from envs.make import make_lanes

REGISTERING = """
import gymnasium

gymnasium.register("mine/Cart-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv")
gymnasium.register("RawPong-v0", entry_point="ale_py.env:AtariEnv", kwargs={"game": "pong"})
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module in the working directory, which is not on the path."""
    path = tmp_path / "registering_worlds.py"
    path.write_text(REGISTERING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    yield path
    sys.modules.pop(path.stem, None)
    for name in ("mine/Cart-v0", "RawPong-v0"):
        gymnasium.registry.pop(name, None)


def test_a_module_in_the_working_directory_is_found(module: Path) -> None:
    lanes = make_lanes("registering_worlds:mine/Cart-v0", 2, AtariConfig())
    assert isinstance(lanes, GymnasiumLanes)
    assert lanes.reset(0).observation.shape == (2, 4)


def test_what_is_installed_is_not_hidden(module: Path) -> None:
    (module.parent / "core").mkdir()
    make_lanes("registering_worlds:mine/Cart-v0", 1, AtariConfig())
    assert sys.path[-1] == str(module.parent)


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("registering_world:mine/Cart-v0", "no module 'registering_world' in .* or installed"),
        ("registering_worlds:mine/Carts-v0", "no environment .*mine/Carts-v0"),
        ("registering_worlds:RawPong-v0", "raw frames of an Atari game.*--env ALE/Pong-v5"),
    ],
)
def test_what_is_not_there_is_named(module: Path, env_id: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_lanes(env_id, 1, AtariConfig())


def test_a_module_that_fails_is_named(module: Path) -> None:
    module.write_text("import nothing_of_this_name\n")
    with pytest.raises(UserError, match=r"'registering_worlds' failed.*nothing_of_this_name"):
        make_lanes("registering_worlds:mine/Cart-v0", 1, AtariConfig())
