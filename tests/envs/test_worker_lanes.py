"""Lanes in worker processes: the same as in one process, and what happens when one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from core.errors import UserError
from core.lanes import Step
from envs.atari.protocol import AtariConfig
from envs.gymnasium.config import GymnasiumConfig
from envs.gymnasium.lanes import GymnasiumLanes
from envs.gymnasium.worker_lanes import WorkerLanes
from envs.make import make_lanes
from tests.envs.worlds_in_workers import MODULE

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("env_id", "arguments", "lanes", "workers"),
    [
        ("CartPole-v1", {}, 5, 2),
        ("Taxi-v4", {}, 3, 2),
        (f"{MODULE}:Noise-v0", {"shows": "vector"}, 4, 3),
        (f"{MODULE}:Noise-v0", {"shows": "image"}, 3, 2),
        (f"{MODULE}:Noise-v0", {"shows": "number"}, 2, 9),
        (f"{MODULE}:Noise-v0", {"shows": "parts"}, 3, 2),
    ],
)
def test_the_same_steps_as_in_one_process(
    env_id: str, arguments: dict[str, str], lanes: int, workers: int
) -> None:
    here = GymnasiumLanes(env_id, lanes, arguments=arguments)
    there = WorkerLanes(env_id, lanes, arguments=arguments, workers=workers)
    assert there.observation_spec == here.observation_spec
    assert (there.num_lanes, there.num_actions) == (lanes, here.num_actions)
    rng = np.random.default_rng(0)
    for seed in (3, 4):
        pair: list[Step] = [here.reset(seed), there.reset(seed)]
        for _ in range(60):
            for name in Step.__dataclass_fields__:
                mine, theirs = (getattr(step, name) for step in pair)
                assert (mine is None) == (theirs is None)
                if mine is None:
                    continue
                assert mine.dtype == theirs.dtype
                np.testing.assert_array_equal(mine, theirs, err_msg=name)
            actions = rng.integers(0, here.num_actions, lanes)
            here.send(actions)
            there.send(actions)
            pair = [here.receive(), there.receive()]
        there.send(actions)  # a reset without waiting for the outcome
    with pytest.raises(ValueError, match="actions"):
        there.send(np.full(lanes, 99))
    here.close()
    there.close()
    there.close()


def play(how: str) -> None:
    config = GymnasiumConfig(f"how={how}", env_workers=2)
    lanes = make_lanes(f"{MODULE}:Trouble-v0", 4, AtariConfig(), config)
    assert isinstance(lanes, WorkerLanes)
    try:
        lanes.reset(0)
        for _ in range(4):
            lanes.send(np.zeros(4, dtype=np.int64))
            lanes.receive()
    finally:
        lanes.close()


def test_a_worker_that_dies_is_named() -> None:
    with pytest.raises(UserError, match=r"Trouble-v0, lanes 0 to 1: .* ended with exit code 7"):
        play("exit")


def test_a_worker_that_dies_is_missed_whatever_its_environment_started() -> None:
    with pytest.raises(UserError, match="ended with exit code 7"):
        play("leave threads")
    with pytest.raises(UserError, match="ended by signal 9"):
        play("leave helpers")


def test_an_environment_that_fails_in_a_worker_is_named() -> None:
    with pytest.raises(UserError, match=r"lane 0, step 3: step.. raised RuntimeError: no more"):
        play("raise")


def test_a_worker_that_is_killed_is_named() -> None:
    lanes = WorkerLanes("CartPole-v1", 4, workers=2)
    lanes.reset(0)
    os.kill(lanes._workers[1]._process.pid, signal.SIGKILL)
    lanes.send(np.zeros(4, dtype=np.int64))
    with pytest.raises(UserError, match=r"lanes 2 to 3: .* by signal 9; out of memory"):
        lanes.receive()
    lanes.close()


@pytest.mark.parametrize("name", ["how=nothing,then=1", "env"])
def test_what_cannot_be_made_is_said_as_without_workers(name: str) -> None:
    with pytest.raises(UserError, match=r"cannot make .*'then'|no environment 'No-v0'"):
        if name == "env":
            WorkerLanes("No-v0", 2, workers=2)
        WorkerLanes(f"{MODULE}:Trouble-v0", 2, arguments={"then": 1}, workers=2)


def test_workers_do_not_know_what_only_this_process_registered() -> None:
    gymnasium.register("Here-v0", entry_point="tests.envs.worlds_in_workers:Noise")
    with pytest.raises(UserError, match=r"no environment 'Here-v0'.*--env module:id"):
        WorkerLanes("Here-v0", 1, workers=1)
    del gymnasium.registry["Here-v0"]


PLAY = """
import numpy as np
from envs.gymnasium.worker_lanes import WorkerLanes

if {hang}:
    name, arguments = "tests.envs.worlds_in_workers:Trouble-v0", {{"how": "hang"}}
    lanes = WorkerLanes(name, 2, arguments=arguments, workers=2)
else:
    lanes = WorkerLanes("CartPole-v1", 2, workers=2)
lanes.reset(0)
for _ in range(3):
    lanes.send(np.zeros(2, dtype=np.int64))
    lanes.receive()
"""


@pytest.mark.parametrize("hang", [True, False])
def test_no_worker_outlives_the_process_that_started_it(hang: bool) -> None:
    """Workers hold the pipe of standard output: it ends when the last of them is gone."""
    command = [sys.executable, "-c", PLAY.format(hang=hang)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if hang:
            assert process.stdout.readline() == b"hanging\n"
            process.kill()
        process.stdout.read()
        assert process.wait() == (-signal.SIGKILL if hang else 0)
