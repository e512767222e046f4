"""What docs/environments.md says works, from the page's own text; arguments of environments."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gymnasium
import pytest

from agents.tabular.config import TabularConfig
from commands.dispatch import main
from core.config import check, from_toml, resume_changes, to_toml
from core.errors import UserError
from core.files.run_folder import RunFolder
from envs.atari.protocol import AtariConfig
from envs.gymnasium.config import GymnasiumConfig, parse_arguments
from envs.make import make_lanes
from envs.recording import filmable_lanes
from envs.task import environment_name

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "environments.md").read_text("utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that holds the page's module."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "corridor.py").write_text(code, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("corridor", None)
    gymnasium.registry.pop("Corridor-v0", None)


def test_the_page_trains_and_scores_its_environment(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = re.findall(r"^    tengen (train .*corridor:.*)$", PAGE, re.MULTILINE)
    quick = ["--no-progress", "--no-video", "--threads", "1", "--evaluate-episodes", "30"]
    assert main([*shlex.split(command), *quick]) == 0
    (run,) = [path.parent for path in folder.glob("runs/*/*/*/meta.json")]
    assert main(["evaluate", str(run), "--episodes", "10"]) == 0
    assert 'Corridor-v0 {"length": 6}' in capsys.readouterr().out
    records = RunFolder.open(run).read_jsonl("evaluations.jsonl")
    assert records[-1]["mean"] > -4.5, "from a random place the end is 3.5 steps away"
    assert main(["resume", str(run), "--env-kwargs", "length=7"]) == 2
    assert "cannot change --env-kwargs" in capsys.readouterr().err


def test_the_pages_config_file_is_read(folder: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    config = from_toml(TabularConfig, text, "page")
    assert config.gymnasium.arguments == {"length": 6}
    assert from_toml(TabularConfig, to_toml(config), "again") == config


def test_arguments_reach_training_evaluation_and_films() -> None:
    config = GymnasiumConfig("map_name=8x8,is_slippery=false")
    assert (
        environment_name("FrozenLake-v1", config)
        == 'FrozenLake-v1 {"is_slippery": false, "map_name": "8x8"}'
    )
    for lanes in (
        make_lanes("FrozenLake-v1", 1, AtariConfig(), config),
        make_lanes("FrozenLake-v1", 1, AtariConfig(), config, evaluation=True),
        filmable_lanes("FrozenLake-v1", AtariConfig(), config),
    ):
        assert lanes.observation_spec.categories == 64
        lanes.close()


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("{}", {}),
        ("map_name=8x8", {"map_name": "8x8"}),
        ('{"map_name": "8x8", "size": 3}', {"map_name": "8x8", "size": 3}),
        ("size=3, slippery=false,rate=1e-3", {"size": 3, "slippery": False, "rate": 0.001}),
        ("slippery=False,map=None", {"slippery": False, "map": None}),
        ('sizes=[1, 2],name="3"', {"sizes": [1, 2], "name": "3"}),
        ("name=a,b=c=d,e", {"name": "a", "b": "c=d,e"}),
    ],
)
def test_both_ways_of_writing_arguments(text: str, arguments: dict[str, object]) -> None:
    assert parse_arguments(text) == arguments
    config = TabularConfig(gymnasium=GymnasiumConfig(text))
    assert config.gymnasium.arguments == arguments
    assert from_toml(TabularConfig, to_toml(config), "file") == config


def test_the_same_arguments_are_no_change_on_a_resume() -> None:
    one = TabularConfig(gymnasium=GymnasiumConfig("b=2,a=1"))
    assert resume_changes(one, replace(one, gymnasium=GymnasiumConfig('{"a": 1, "b": 2}'))) == []
    with pytest.raises(UserError, match="--env-kwargs"):
        resume_changes(one, replace(one, gymnasium=GymnasiumConfig("a=1")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8x8", "key=value"),
        ("{", "not valid JSON"),
        ('{"a": NaN}', "NaN"),
        ("render_mode=human", "'render_mode'"),
        ("two words=1", "'two words'"),
    ],
)
def test_what_are_no_arguments_is_said(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(GymnasiumConfig(text))


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "tengen/Catch"])
def test_environments_without_arguments_refuse_them(env_id: str) -> None:
    with pytest.raises(UserError, match="takes no --env-kwargs"):
        make_lanes(env_id, 1, AtariConfig(), GymnasiumConfig("a=1"))


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(UserError, match=r"unexpected keyword argument 'map'.*--env-kwargs"):
        make_lanes("FrozenLake-v1", 1, AtariConfig(), GymnasiumConfig("map=8x8"))
