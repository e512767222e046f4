"""The queue of long runs: what is chosen, that it goes on where it was, and what is kept of it."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agents.registry import AGENTS
from commands.options import parse_training
from core.config import check
from core.files import checkpoint
from core.learner import load_weights
from envs.games.registry import load_game
from envs.make import make_lanes
from studies.train_next import ROOT, choose, command_for

QUEUE = """
[[run]]
name = "done"
target = "nothing"
met = true
train = "q-learning"
gpu = ""

[[run]]
name = "grid"
target = "all of it"
met = false
train = "q-learning --total-steps 400 --evaluate-every 0"
gpu = "--lanes 2"
"""


def go_on(folder: Path, *arguments: str) -> str:
    (folder / "queue.toml").write_text(QUEUE, "utf-8")
    command = [sys.executable, "-m", "studies.train_next", "--queue", "queue.toml", *arguments]
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_is_begun_then_resumed_and_kept(tmp_path: Path) -> None:
    said = go_on(tmp_path)
    assert said.startswith("grid: all of it") and "finished at 416 steps" in said
    kept = tmp_path / "runs/long/exports/grid-416"
    assert (kept / "config.toml").exists() and (kept / "metrics.jsonl").exists()
    said = go_on(tmp_path, "--name", "grid")
    assert "resume runs/long/grid" in said and "all its steps are made" in said


def begins_with(run: dict[str, Any], kept: Path) -> None:
    """The network that the run asks for takes the weights that are kept."""
    name, *options = shlex.split(run["train"])
    config, _ = parse_training(AGENTS[name], options)
    networks = importlib.import_module(f"agents.{name}.build")
    weights = checkpoint.load(kept, keys=["network"]).state["network"]
    if name == "zero":
        load_weights(networks.build_network(config, load_game(config.game)), weights)
        return
    lanes = make_lanes(config.env, 1, config.atari, config.gymnasium)
    load_weights(networks.build_network(config, lanes), weights)
    lanes.close()


def test_the_list_of_the_repository_can_be_begun() -> None:
    runs = tomllib.loads((ROOT / "docs/results/runs.toml").read_text("utf-8"))["run"]
    for run in runs:
        for gpu in (False, True):
            command = command_for(run, Path("no/such/folder"), gpu)
            assert command[:4] == [sys.executable, "-m", "tengen", "train"]
            name, *options = command[4:]
            config, _ = parse_training(AGENTS[name], options)
            check(config)
        kept = ROOT / "pretrained" / run["name"]
        if kept.exists():
            begins_with(run, kept)
    with pytest.raises(SystemExit, match="no run 'chess'"):
        choose(runs, "chess")
    with pytest.raises(SystemExit, match="every target is met"):
        choose([run | {"met": True} for run in runs], "")
