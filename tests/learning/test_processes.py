"""Two processes that train one network equal one, and go on where they stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands.dispatch import main
from core.files import checkpoint
from core.files.run_folder import RunFolder

HERE = Path(__file__).resolve().parent
PLAIN = ["--threads", "1", "--precision", "fp32", "--device", "cpu", "--no-video"]
DIGITS = ["train", "classify", "--preset", "digits", "--network", "lenet5", "--network-options",
          "connections=all", "--schedule", "constant", "--log-seconds", "600",
          *PLAIN]  # fmt: skip
CATCH = ["train", "dqn", "--preset", "catch", "--warmup-steps", "200", "--evaluate-every", "320",
         "--evaluate-episodes", "4", "--replay", "mmap", "--log-seconds", "0.2",
         *PLAIN]  # fmt: skip
EPISODES = ["train", "reinforce", "--episodes-per-update", "4", "--learning-rate-end", "0.01",
            "--evaluate-every", "0", *PLAIN]  # fmt: skip
STEPS = "--total-steps"
COMMANDS = {
    "digits": [*DIGITS, STEPS, "640", "--run-dir", "digits"],
    "digits, half": [*DIGITS, STEPS, "320", "--run-dir", "digits-2"],
    "digits, rest": ["resume", "digits-2", STEPS, "640"],
    "dqn": [*CATCH, STEPS, "800", "--run-dir", "dqn"],
    "dqn, half": [*CATCH, STEPS, "400", "--run-dir", "dqn-2"],
    "dqn, rest": ["resume", "dqn-2", STEPS, "800"],
    "reinforce": [*EPISODES, "--env", "tengen/Catch", STEPS, "800", "--run-dir", "reinforce"],
    "reinforce, half": [*EPISODES, "--env", "tengen/Catch", STEPS, "400", "--run-dir",
                        "reinforce-2"],
    "reinforce, rest": ["resume", "reinforce-2", STEPS, "800"],
    "normalised": [*EPISODES, "--normalise-observations", STEPS, "400", "--run-dir", "normalised"],
    "odd": [*DIGITS, "--batch-size", "33", "--run-dir", "odd"],
    "table": ["train", "q-learning", "--env", "tengen/Grid", "--run-dir", "table"],
    "failing": [*EPISODES, "--env", "failing_world:Failing-v0", "--run-dir", "failing"],
    "stopped": [*CATCH, STEPS, "1000000", "--run-dir", "stopped"],
}  # fmt: skip
"""What the two processes do, one after the other; the last one is stopped."""


@dataclass(frozen=True)
class Done:
    """What came of the commands."""

    folder: Path
    codes: dict[str, int]
    errors: list[str]

    def state(self, run: str) -> dict[str, Any]:
        return checkpoint.load(self.folder / run).state


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("processes")
    (folder / "commands.json").write_text(json.dumps(list(COMMANDS.values())), "utf-8")
    path = os.pathsep.join([str(HERE.parent.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
              str(HERE / "two_processes.py"), "commands.json"]  # fmt: skip
    with (
        (folder / "out").open("w") as out,
        (folder / "err").open("w") as err,
        subprocess.Popen(
            launch, cwd=folder, env=os.environ | {"PYTHONPATH": path}, stdout=out, stderr=err
        ) as torchrun,
    ):
        try:
            while not (folder / "stopped" / "metrics.jsonl").exists() and torchrun.poll() is None:
                time.sleep(0.05)
            torchrun.send_signal(signal.SIGTERM)
            torchrun.wait()
        finally:
            torchrun.kill()
    codes = [int(code) for code in (folder / "out").read_text().split()]
    errors = (folder / "err").read_text()
    assert len(codes) == len(COMMANDS), errors
    lines = [line for line in errors.splitlines() if line.startswith("tengen: error:")]
    return Done(folder, dict(zip(COMMANDS, codes, strict=True)), lines)


def test_two_processes_learn_what_one_learns_from_the_joint_batch(
    done: Done, tmp_path: Path
) -> None:
    assert main([*DIGITS, STEPS, "640", "--run-dir", str(tmp_path / "one")]) == 0
    one, two = checkpoint.load(tmp_path / "one").state, done.state("digits")
    assert one["learner"]["updates"] == two["learner"]["updates"] == 20
    assert one["network"].keys() == two["network"].keys(), "the network is not wrapped"
    for name, weights in one["network"].items():
        torch.testing.assert_close(two["network"][name], weights, atol=1e-5, rtol=0)
    records = [RunFolder(run).read_jsonl("metrics.jsonl")[-1]
               for run in (tmp_path / "one", done.folder / "digits")]  # fmt: skip
    losses = [record["loss/total"] for record in records]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4), "the mean over both"
    assert records[0]["agent_steps"] == records[1]["agent_steps"] == 640


@pytest.mark.parametrize("run", ["digits", "dqn", "reinforce"])
def test_a_resumed_run_of_two_equals_one_never_stopped(done: Done, run: str) -> None:
    assert {done.codes[name] for name in COMMANDS if name.startswith(run)} == {0}
    whole, halves = flat(done.state(run)), flat(done.state(f"{run}-2"))
    assert whole.keys() == halves.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, halves[name], err_msg=name)


def flat(part: Any, name: str = "") -> dict[str, np.ndarray]:
    """Every leaf of a state but the time that was spent."""
    if isinstance(part, dict | list | tuple):
        pairs = part.items() if isinstance(part, dict) else enumerate(part)
        leaves = [flat(value, f"{name}/{key}") for key, value in pairs]
        return {key: value for found in leaves for key, value in found.items()}
    return {} if name.endswith("/seconds") else {name: np.asarray(part)}


def test_each_process_has_lanes_chance_and_a_memory_of_its_own(done: Done) -> None:
    state = done.state("dqn")
    first, second = state["agent"], state["ranks"][1]["agent"]
    assert first["acting_rng"] != second["acting_rng"]
    assert first["sampling_rng"] != second["sampling_rng"]
    assert len(state["tick"]["step"]["reward"]) == 4, "half of the lanes"
    assert state["trainer"]["agent_steps"] == 800
    folders = [done.folder / "dqn" / "replay" / name for name in ("rank_0", "rank_1")]
    first_files, second_files = ({f.name: f.read_bytes() for f in folder.iterdir()}
                                 for folder in folders)  # fmt: skip
    assert first_files.keys() == second_files.keys() != set()
    assert first_files != second_files


def test_observations_of_all_processes_are_counted(done: Done) -> None:
    network = done.state("normalised")["network"]
    assert int(network["normaliser.count"]) == done.state("normalised")["trainer"]["agent_steps"]


def test_what_cannot_be_shared_is_refused_once(done: Done) -> None:
    assert done.codes["odd"] == done.codes["table"] == done.codes["failing"] == 2
    odd, table, failing = done.errors
    assert "--batch-size 33 cannot be split evenly over 2 processes" in odd
    assert "q-learning is trained by one process" in table
    assert "the second one is broken" in failing
    assert RunFolder(done.folder / "failing").read_status()["state"] == "failed"
    assert not (done.folder / "odd").exists()


def test_a_signal_to_torchrun_saves_once_and_ends_both(
    done: Done, capsys: pytest.CaptureFixture[str]
) -> None:
    assert done.codes["stopped"] == 0
    status = RunFolder(done.folder / "stopped").read_status()
    assert status["state"] == "stopped"
    assert done.state("stopped")["trainer"]["agent_steps"] == status["agent_steps"]
    assert main(["resume", str(done.folder / "stopped")]) == 2
    assert "torchrun --nproc-per-node 2 -m tengen resume" in capsys.readouterr().err
