"""What happens to a run that diverges, whose environment or code fails, or whose disk is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from agents.dqn.agent import DQN
from commands.dispatch import main
from core.files import atomic, checkpoint
from core.files.run_folder import RunFolder
from core.learner import Learner, require_finite
from tests.commands.short_runs import PLAIN, Killed, die, one_line, run_quietly


@pytest.mark.parametrize("seen", ["the loss", "the weights"])
def test_divergence_stops_the_run_and_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seen: str
) -> None:
    import agents.dqn.objective as module

    calls = 0
    real = module.td_loss

    def td_loss(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal calls
        calls += 1
        loss, errors = real(*arguments)  # type: ignore[arg-type]
        return (loss * float("nan") if calls > 100 else loss), errors

    monkeypatch.setattr(module, "td_loss", td_loss)
    if seen == "the weights":  # as on a GPU, whose losses are not waited for
        monkeypatch.setattr(Learner, "_require_finite", lambda self, loss: None)
    run = tmp_path / "run"
    assert run_quietly(run, "--checkpoint-seconds", "0.05") == 2
    assert "diverged" in one_line(capsys)
    assert RunFolder.open(run).read_status()["state"] == "diverged"
    require_finite(checkpoint.load(run).state)


class Breaking(gymnasium.Env[np.ndarray, np.int64]):
    """Raises at one step of one lane, while the fuse lasts."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    fuse = 0

    def reset(self, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(**options)
        return np.zeros(2, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        Breaking.fuse -= 1
        if Breaking.fuse == 0:
            raise RuntimeError("the paddle broke")
        return np.zeros(2, np.float32), 0.0, False, False, {}


gymnasium.register("Breaking-v0", Breaking, max_episode_steps=1000)


def test_a_failing_environment_costs_nothing_learned_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    new = ["train", "dqn", "--env", "Breaking-v0", "--lanes", "4", *PLAIN, "--evaluate-every", "0"]
    Breaking.fuse = 4 * 49 + 3
    assert main([*new, "--no-progress", "--run-dir", str(run)]) == 2
    output = capsys.readouterr().err
    assert "Breaking-v0, lane 2, step 50: " in output and "the paddle broke" in output
    assert f"tengen resume {run}" in output and "Traceback" not in output
    assert RunFolder.open(run).read_status()["state"] == "failed"
    assert checkpoint.load(run).step == 4 * 49
    assert main(["resume", str(run), "--total-steps", "400"]) == 0
    assert checkpoint.load(run).step == 400


def test_the_yardsticks_keep_what_was_learned_and_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    new = ["train", "sb3-dqn", "--env", "Breaking-v0", "--lanes", "2", "--device", "cpu"]
    new += ["--evaluate-every", "0", "--no-progress", "--run-dir", str(run)]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("agents.baselines.callback.RecordedRun._write", die)
        main([*new, "--total-steps", "400"])
    Breaking.fuse = 2 * 49 + 1
    assert main(["resume", str(run), "--trust", "--total-steps", "400"]) == 2
    output = capsys.readouterr().err
    assert "starts at step 0" in output
    assert "Breaking-v0, lane 0, step 50" in output and "Traceback" not in output
    assert RunFolder.open(run).read_status()["state"] == "failed"
    assert main(["resume", str(run), "--trust", "--total-steps", "400"]) == 0
    assert "resuming at 98 steps" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["act", "observe"])
def test_a_fault_of_ours_is_shown_and_saves_only_what_is_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    calls = 0
    real = getattr(DQN, moment)

    def fail(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 50:
            raise RuntimeError("a fault of ours")
        return real(*arguments)

    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="a fault of ours"):
        patch.setattr(DQN, moment, fail)
        run_quietly(run)
    assert RunFolder.open(run).read_status()["state"] == "failed"
    loaded = checkpoint.load(run)
    lanes = len(loaded.state["tick"]["step"]["reward"])
    assert loaded.step == (49 * lanes if moment == "act" else 0)
    assert main(["resume", str(run), "--total-steps", "1000"]) == 0
    assert checkpoint.load(run).step == 1000


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB. GPU 0 has ..."),
    RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
    MemoryError(),
])  # fmt: skip
def test_a_full_memory_is_one_line_and_keeps_what_was_learned(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    calls = 0
    real = DQN.act

    def act(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 50:
            raise error
        return real(*arguments)

    monkeypatch.setattr(DQN, "act", act)
    run = tmp_path / "run"
    assert run_quietly(run) == 1
    said = one_line(capsys)
    assert "out of memory: " in said and "fewer lanes" in said
    assert checkpoint.load(run).step > 0


def test_a_full_disk_stops_the_run_with_one_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert run_quietly(run, "--total-steps", "1000") == 0
    before = checkpoint.load(run)
    real = atomic.write_bytes

    def write_bytes(descriptor: int, data: atomic.Bytes) -> None:
        if len(data) > 10_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor, data)

    monkeypatch.setattr(atomic, "write_bytes", write_bytes)
    assert main(["resume", str(run), "--total-steps", "1200"]) == 2
    assert "No space left on device" in one_line(capsys)
    monkeypatch.undo()
    after = checkpoint.load(run)
    assert after.step == before.step == 1000
    assert main(["resume", str(run), "--total-steps", "1200"]) == 0
    assert checkpoint.load(run).step == 1200
