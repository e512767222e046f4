"""Every usual spelling of an Atari game leads to the same lanes; nobody else's name does."""

from __future__ import annotations

import gymnasium
import pytest

from commands.dispatch import main
from core.config import RunConfig
from core.errors import UserError
from core.evaluation import Policy
from core.lanes import Lanes
from envs.atari.lanes import AtariLanes
from envs.atari.protocol import AtariConfig
from envs.gymnasium.lanes import GymnasiumLanes
from envs.make import DEFAULTS, make_lanes
from envs.names import atari_games, canonical_id, is_atari
from envs.task import make_task


def no_policy(lanes: Lanes, seed: int) -> Policy:
    raise AssertionError


@pytest.mark.parametrize(
    "spelling",
    [
        "ALE/Pong-v5", "ale_py:ALE/Pong-v5", "ale_py:PongNoFrameskip-v4", "PongNoFrameskip-v4",
        "PongNoFrameskip-v0", "PongDeterministic-v4", "Pong-v5", "Pong-v4", "Pong-v0", "Pong",
        "pong", "PONG-V5", "ALE/Pong", "ale/pong-v5",
    ],
)  # fmt: skip
def test_every_spelling_is_the_game_under_its_protocol(spelling: str) -> None:
    notes: list[str] = []
    assert canonical_id(spelling, notes.append) == "ALE/Pong-v5"
    assert len(notes) == (spelling != "ALE/Pong-v5")
    assert is_atari(spelling)
    task = make_task(spelling, AtariConfig(), DEFAULTS, RunConfig(), no_policy)
    assert (task.environment, task.protocol, task.frames_per_step) == (
        "ALE/Pong-v5", "dopamine", 4,
    )  # fmt: skip
    assert task.normalise(14.6) == pytest.approx(1.0)
    lanes = make_lanes(spelling, 1, AtariConfig(env_threads=1))
    assert isinstance(lanes, AtariLanes)
    lanes.close()


def test_every_game_is_found_by_its_name_alone() -> None:
    assert len(atari_games()) > 100
    for name, rom in atari_games().items():
        if rom != "blackjack":  # Gymnasium has a Blackjack of its own
            assert canonical_id(rom) == canonical_id(name[len("ALE/") : -len("-v5")]) == name


@pytest.mark.parametrize(
    "env_id",
    ["CartPole-v1", "Blackjack-v1", "blackjack-v1", "tengen/Catch", "ALE/Pung-v5", "mine:Pong-v4"],
)
def test_other_names_stay_as_they_are(env_id: str) -> None:
    assert canonical_id(env_id) == env_id
    assert is_atari(env_id) == env_id.startswith("ALE/")


def test_somebody_elses_pong_is_not_ataris() -> None:
    gymnasium.register("Pong-v7", entry_point="gymnasium.envs.classic_control:CartPoleEnv")
    try:
        assert canonical_id("Pong-v7") == "Pong-v7"
        assert isinstance(make_lanes("Pong-v7", 1, AtariConfig()), GymnasiumLanes)
    finally:
        del gymnasium.registry["Pong-v7"]


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("Pong-ram-v4", "--env ALE/Pong-v5"),
        ("Pong-ramNoFrameskip-v4", "--env ALE/Pong-v5"),
        ("Pung-v5", "did you mean 'ALE/Pong-v5'"),
    ],
)
def test_what_cannot_be_played_names_what_can(env_id: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_lanes(env_id, 1, AtariConfig())


def test_the_run_holds_the_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dqn", "--env", "pong", "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert 'env = "ALE/Pong-v5"' in captured.out
    assert "pong is ALE/Pong-v5 here" in captured.err
