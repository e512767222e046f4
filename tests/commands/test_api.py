"""`import tengen`: what docs/python.md says works, and what the functions promise besides."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import tengen
from core.config import from_toml
from core.files.run_folder import RunFolder
from tests.commands.test_cli import HEAVY, ROOT

QUIET = {"device": "cpu", "threads": 1, "precision": "fp32", "progress": False, "video": False}
AGENTS: dict[str, dict[str, Any]] = {
    "dqn": {"preset": "catch", "lanes": 4},
    "reinforce": {"env": "tengen/Catch", "lanes": 4},
    "q-learning": {"lanes": 4},
    "sb3-ppo": {"env": "tengen/Catch", "lanes": 4, "n_steps": 16, "batch_size": 32},
}


class Marks(gymnasium.Env[Any, Any]):
    """Shows its state in two parts and counts its actions from 5."""

    observation_space = spaces.Dict({"place": spaces.Discrete(3), "time": spaces.Box(0, 9, (1,))})
    action_space = spaces.Discrete(2, start=5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._shown(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(int(action))
        self.time += 1
        return self._shown(), float(action - 5), self.time == 4, False, {}

    def _shown(self) -> dict[str, Any]:
        return {"place": self.time % 3, "time": np.array([self.time], np.float32)}


@pytest.fixture
def marks() -> Iterator[str]:
    """Registers the environment and returns its id."""
    gymnasium.register("tests/Marks-v0", entry_point=Marks)
    yield "tests/Marks-v0"
    del gymnasium.registry["tests/Marks-v0"]


def test_the_page_is_a_script_that_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == page.count("```") // 2 == 7
    (tmp_path / "page.py").write_text("\n".join(blocks), "utf-8")
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("runs/*/*/*/scores.jsonl"))) == 1


def test_the_import_is_quick() -> None:
    program = (
        "import sys, tengen; tengen.train, tengen.Run\n"
        f"assert not [name for name in {HEAVY!r} if name in sys.modules]\n"
        "try: tengen.nothing\n"
        "except AttributeError: pass\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_callback_sees_scores_and_stops(agent: str, tmp_path: Path) -> None:
    reports: list[Any] = []

    def watch(report: Any) -> bool:
        reports.append(report)
        return report.agent_steps < 256 or not report.scores

    run = tengen.train(
        agent,
        run_dir=tmp_path / "run",
        total_steps=1024,
        evaluate_every=128,
        evaluate_episodes=2,
        log_seconds=1e-6,
        callback=watch,
        **QUIET,
        **AGENTS[agent],
    )
    assert (run.state, run.agent_steps) == ("stopped", 256)
    assert reports[-1].agent_steps == 256 and len(reports[-1].scores) == 2
    assert [r.agent_steps for r in reports if r.scores] == [128, 256]
    assert [r["scores"] for r in run.evaluations] == [r.scores for r in reports if r.scores]
    points = [r for r in reports if not r.scores]
    assert points and {r.total_steps for r in reports} == {1024}
    assert points[-1].scalars.items() <= run.metrics[len(points) - 1].items()
    trust = {"trust": True} if agent == "sb3-ppo" else {}
    assert tengen.resume(run, total_steps=320, evaluate_every=0, **trust).state == "finished"
    assert run.agent_steps == 320


def test_what_a_callback_raises_ends_a_run_that_is_saved(tmp_path: Path) -> None:
    def watch(report: Any) -> None:
        if report.agent_steps >= 64:
            raise LookupError("mine")

    options = {**QUIET, "run_dir": tmp_path / "run", "log_seconds": 1e-6, "lanes": 4}
    with pytest.raises(LookupError, match="mine"):
        tengen.train("q-learning", callback=watch, total_steps=1024, **options)
    assert RunFolder.open(tmp_path / "run").read_status()["state"] == "failed"
    run = tengen.resume(tmp_path / "run", total_steps=128, evaluate_every=0)
    assert (run.state, run.agent_steps) == ("finished", 128)
    assert run.metrics[0]["agent_steps"] <= 64


def test_training_works_in_a_thread(tmp_path: Path) -> None:
    runs: list[Any] = []

    def work() -> None:
        options: dict[str, Any] = {**QUIET, "total_steps": 256, "evaluate_every": 0, "lanes": 4}
        runs.append(tengen.train("q-learning", run_dir=tmp_path / "run", **options))
        tengen.evaluate(runs[0], episodes=1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert runs[0].state == "finished"
    assert len((tmp_path / "run" / "scores.jsonl").read_text().splitlines()) == 1


def test_predict_acts_as_evaluation_does(tmp_path: Path) -> None:
    """On stacked frames, over the end of an episode."""
    from agents.dqn.build import build_policy
    from agents.dqn.config import DQNConfig
    from core.files import checkpoint
    from envs.atari.protocol import AtariConfig
    from envs.make import make_lanes

    run = tengen.train(
        "dqn", preset="catch", total_steps=64, evaluate_every=0, run_dir=tmp_path, **QUIET
    )
    config = from_toml(DQNConfig, (run.path / "config.toml").read_text(), "run")
    lanes = make_lanes("tengen/Catch", 1, AtariConfig())
    policy = build_policy(config, lanes, checkpoint.load(run.path).state["network"], 0, "cpu")
    agent = tengen.load(run)
    step = lanes.reset(3)
    for _ in range(40):
        if step.first[0]:
            agent.reset()
        action = policy.act(step)
        assert agent.predict(step.observation[0]) == action[0]
        lanes.send(action)
        step = lanes.receive()


def test_predict_speaks_the_environments_own_language(tmp_path: Path, marks: str) -> None:
    run = tengen.train(
        "dqn", env=marks, total_steps=64, evaluate_every=0, run_dir=tmp_path, **QUIET
    )
    agent, env = tengen.load(run), gymnasium.make(marks)
    observation, _ = env.reset()
    for _ in range(4):
        observation, *_ = env.step(agent.predict(observation))
    with pytest.raises(tengen.UserError, match=r"observation\['place'\]: \[3\] is no choice"):
        agent.predict({"place": 3, "time": np.zeros(1, np.float32)})


def test_options_are_those_of_the_command_line(tmp_path: Path) -> None:
    run = tengen.train(
        "reinforce",
        env="FrozenLake-v1",
        env_kwargs={"map_name": "8x8", "is_slippery": False},
        hidden=[16, 8],
        total_steps=1e2,
        learning_rate=1e-3,
        evaluate_every=0,
        run_dir=tmp_path,
        **QUIET,
    )
    written = (run.path / "config.toml").read_text()
    for line in ('hidden = "16,8"', "learning_rate = 0.001", "total_steps = 100", "video = false"):
        assert f"\n{line} " in written
    argv = json.loads((run.path / "meta.json").read_text())["argv"]
    assert argv[:4] == ["tengen", "train", "reinforce", "--env=FrozenLake-v1"]
    assert tengen.load(run).predict(63) in range(4)


@pytest.mark.parametrize(
    ("agent", "options", "message"),
    [
        ("dqm", {}, "no agent 'dqm'; did you mean 'dqn'"),
        ("dqn", {"total_stepz": 1}, "no option --total-stepz; did you mean '--total-steps'"),
        ("dqn", {"gamma": 0.9}, "did you mean '--discount'"),
        ("dqn", {"lanes": "many"}, "--lanes must be a whole number, got 'many'"),
        ("dqn", {"lanes": True}, "--lanes needs a value"),
        ("dqn", {"env": None}, "env cannot be None"),
        ("dqn", {"help": True}, "help belongs to the command line"),
        ("dqn", {"dry_run": True}, "dry_run belongs to the command line"),
    ],
)
def test_mistakes_are_one_line(agent: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(tengen.UserError, match=message) as failure:
        tengen.train(agent, **options)
    assert "\n" not in str(failure.value)


def test_a_seed_below_zero_is_one_line() -> None:
    with pytest.raises(tengen.UserError, match="--seed must be at least 0"):
        tengen.load("pretrained/pqn-pong", seed=-1)


def test_agents_that_play_no_episodes_are_named(tmp_path: Path) -> None:
    options: dict[str, Any] = {"total_steps": 64, **QUIET}
    options.pop("video")
    run = tengen.train("classify", preset="digits", epochs=1, run_dir=tmp_path / "run", **options)
    for function in (tengen.load, tengen.evaluate):
        with pytest.raises(tengen.UserError, match="is a run of classify"):
            function(run)
    with pytest.raises(tengen.UserError, match="not the folder of a run"):
        tengen.load(tmp_path / "none")
