"""From ids to lanes."""

from __future__ import annotations

from dataclasses import replace

import ale_py.vector_env
import pytest

from agents.dqn.config import DQNConfig
from core.config import check, from_toml
from core.errors import UserError
from envs.atari.lanes import AtariLanes
from envs.atari.protocol import PROTOCOLS, AtariConfig
from envs.gymnasium.lanes import GymnasiumLanes
from envs.make import make_lanes
from envs.small import CatchLanes, GridLanes

ATARI = AtariConfig()


@pytest.mark.parametrize(
    ("env_id", "kind", "actions"),
    [
        ("ALE/Pong-v5", AtariLanes, 6),
        ("tengen/Catch", CatchLanes, 3),
        ("tengen/Grid", GridLanes, 4),
        ("CartPole-v1", GymnasiumLanes, 2),
    ],
)
def test_ids(env_id: str, kind: type, actions: int) -> None:
    lanes = make_lanes(env_id, 2, replace(ATARI, env_threads=1))
    assert isinstance(lanes, kind)
    assert (lanes.num_lanes, lanes.num_actions) == (2, actions)
    assert lanes.state_dict() == {} or lanes.restorable
    first = lanes.reset(0)
    assert first.observation.shape == (2, *lanes.observation_spec.shape)
    assert first.observation.dtype == lanes.observation_spec.dtype
    assert first.first.all()
    lanes.close()


@pytest.mark.parametrize("evaluation", [False, True])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_atari_options_reach_the_emulator(
    name: str, evaluation: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}

    class StopError(Exception):
        pass

    def record(rom: str, num_envs: int, **options: object) -> None:
        given.update(options, rom=rom, num_envs=num_envs)
        raise StopError

    monkeypatch.setattr(ale_py.vector_env, "AtariVectorEnv", record)
    config = AtariConfig(protocol=name, full_action_space=evaluation, env_threads=3)  # type: ignore[arg-type]
    with pytest.raises(StopError):
        make_lanes("ALE/SpaceInvaders-v5", 5, config, evaluation=evaluation)
    short = name == "machado2018" or (evaluation and name == "nature2015")
    classic = name in ("nature2015", "sb3")
    assert given["rom"] == "space_invaders"
    assert given["num_envs"] == 5
    assert given["num_threads"] == 3
    assert given["full_action_space"] == (evaluation or name == "machado2018")
    assert given["max_num_frames_per_episode"] == (18_000 if short else 108_000)  # 5, 30 minutes
    assert given["repeat_action_probability"] == (0.0 if classic else 0.25)
    assert given["noop_max"] == (31 if classic else 1)
    assert given["use_fire_reset"] is False  # the lanes start lives themselves
    assert given["reward_clipping"] is False
    assert not given.get("episodic_life", False)
    assert not given.get("life_loss_info", False)


@pytest.mark.parametrize(
    ("env_id", "lanes", "message"),
    [
        ("ALE/Pung-v5", 1, "did you mean 'ALE/Pong-v5'"),
        ("tengen/Grit", 1, "did you mean 'tengen/Grid'"),
        ("CartPole-v7", 1, "did you mean 'CartPole-v1'"),
        ("CartPole-v1", 0, "--lanes"),
    ],
)
def test_errors(env_id: str, lanes: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_lanes(env_id, lanes, ATARI)


def test_each_protocol_has_rules_of_its_own() -> None:
    rules = [replace(protocol, name="") for protocol in PROTOCOLS.values()]
    assert len(set(rules)) == len(PROTOCOLS)
    assert AtariConfig().protocol == "dopamine"  # the one of the published curves beside ours
    machado = PROTOCOLS["machado2018"]
    assert (machado.sticky_probability, machado.training_frame_cap) == (0.25, 18_000)
    assert machado.evaluation_episodes == 100 and machado.full_action_space


@pytest.mark.parametrize(
    ("version", "written", "read"),
    [(1, "machado2018", "dopamine"), (1, "sb3", "sb3"), (2, "machado2018", "machado2018")],
)
def test_older_runs_keep_the_rules_they_were_made_under(
    version: int, written: str, read: str
) -> None:
    text = f'schema_version = {version}\n[atari]\nprotocol = "{written}"\n'
    assert from_toml(DQNConfig, text, "config.toml").atari.protocol == read


def test_environment_threads_are_checked() -> None:
    with pytest.raises(UserError, match="--env-threads"):
        check(AtariConfig(env_threads=-1))
