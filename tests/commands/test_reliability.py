"""What happens to a run that is killed, stopped, starved of disk or diverges."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from agents.dqn.agent import DQN
from commands.dispatch import main
from core import atomic, checkpoint
from core.learner import Arithmetic, Learner, require_finite
from core.run_folder import RunFolder

PLAIN = ["--threads", "1", "--precision", "fp32", "--no-video", "--device", "cpu"]
TRAIN = ["train", "dqn", "--preset", "catch", *PLAIN, "--evaluate-every", "0"]
OFTEN = ["--checkpoint-seconds", "0.05", "--log-seconds", "0.1"]
ENDLESS = ["--total-steps", "1000000"]
ROOT = Path(__file__).resolve().parents[2]

CONTEXT = multiprocessing.get_context("forkserver")
# Imported once; every run of the tests below is then a fork that starts in no time.
CONTEXT.set_forkserver_preload(["torch._dynamo", "agents.dqn.build", "core.trainer"])


def _command(arguments: Sequence[str], errors: Path) -> None:
    """In a process of its own: a command, its error output in a file."""
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 2)
    atomic.sync = lambda descriptor: None  # no power is cut here; some disks take 100 ms for it
    torch.set_num_threads(1)
    sys.exit(main(arguments))


def start(arguments: Sequence[str], errors: Path) -> BaseProcess:
    """Start a command; return once its run folder is ready."""
    errors.unlink(missing_ok=True)
    child = CONTEXT.Process(target=_command, args=(list(arguments), errors))
    child.start()
    wait(child, errors, lambda: errors.exists() and "run folder:" in errors.read_text())
    return child


def wait(child: BaseProcess, errors: Path, happened: Callable[[], bool]) -> None:
    """Wait for what the child is to do. How long that takes is the machine's affair."""
    deadline = time.monotonic() + 300
    while not happened():
        assert child.exitcode is None, errors.read_text()
        assert time.monotonic() < deadline, "the child hangs"
        time.sleep(0.002)


def newest_step(run: Path) -> int:
    """Step of the newest checkpoint that is whole; -1 where there is none."""
    names = [path.name for path in (run / "checkpoints").glob("step_*")]
    return max((int(name.removeprefix("step_")[:9]) for name in names), default=-1)


def test_a_kill_at_any_moment_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    run, errors = tmp_path / "run", tmp_path / "errors"
    chance = random.Random(0)
    reached = -1
    for kill in range(20):
        new = [*TRAIN, *OFTEN, *ENDLESS, "--run-dir", str(run)]
        child = start(["resume", str(run)] if kill else new, errors)
        for _ in range(kill % 4):  # so many checkpoints further, or none
            saved = newest_step(run)
            wait(child, errors, lambda saved=saved: newest_step(run) > saved)  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.1))  # anywhere between one checkpoint and the next
        promised = newest_step(run)
        child.kill()
        child.join()
        if promised < 0 and newest_step(run) < 0:
            continue
        loaded = checkpoint.load(run)
        assert loaded.step >= promised >= reached, "a checkpoint from before the kill is lost"
        reached = loaded.step
        folder = RunFolder.open(run)
        for name in ("episodes.jsonl", "metrics.jsonl"):
            folder.read_jsonl(name)
    assert reached > 0


class Killed(BaseException):
    """Stands for the death of the process."""


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(*arguments: object, **options: object) -> None:
        raise Killed

    run = tmp_path / "run"
    for name in ("write_config", "write_meta", "set_status"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(RunFolder, name, die)
            run_quietly(run, "--total-steps", "64")
    for go_on in (["resume", str(run)], [*TRAIN, "--total-steps", "64", "--run-dir", str(run)]):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(checkpoint, "save", die)
            main(go_on)
    assert main(["resume", str(run)]) == 0
    assert "starts at step 0" in capsys.readouterr().err
    assert checkpoint.load(run).step == 64
    shutil.rmtree(run / "checkpoints")
    assert main(["resume", str(run)]) == 2, "saved once: it must not begin anew in silence"
    assert "there is no such folder" in one_line(capsys)
    assert run_quietly(run, "--total-steps", "64") == 2
    assert "tengen resume" in one_line(capsys)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_exits_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    run, errors = tmp_path / "run", tmp_path / "errors"
    child = start([*TRAIN, *OFTEN, *ENDLESS, "--run-dir", str(run)], errors)
    wait(child, errors, (run / "metrics.jsonl").exists)
    assert child.pid is not None
    os.kill(child.pid, number)
    child.join(timeout=300)
    assert child.exitcode == 0, errors.read_text()
    assert "tengen resume" in errors.read_text()
    status = RunFolder.open(run).read_status()
    assert status["state"] == "stopped"
    assert checkpoint.load(run).step == status["agent_steps"] > 0, "the last tick was saved"


def test_a_second_interrupt_leaves_at_once() -> None:
    script = """
import os, signal
from core.interrupt import Interrupt
with Interrupt() as interrupt:
    os.kill(os.getpid(), signal.SIGINT)
    if interrupt.requested:
        os.kill(os.getpid(), signal.SIGINT)
os._exit(3)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 130


def run_quietly(run: Path, *more: str) -> int:
    return main([*TRAIN, "--no-progress", "--run-dir", str(run), *more])


def one_line(captured: pytest.CaptureFixture[str]) -> str:
    """The error that the command printed, which must be one line."""
    lines = [x for x in captured.readouterr().err.splitlines() if x.startswith("tengen: error:")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("seen", ["the loss", "the weights"])
def test_divergence_stops_the_run_and_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seen: str
) -> None:
    import agents.dqn.agent as module

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
    def die(*arguments: object, **options: object) -> None:
        raise Killed

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


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert run_quietly(run, "--total-steps", "64") == 0
    folder = RunFolder.open(run)
    folder.lock()
    try:
        assert main(["resume", str(run), "--total-steps", "128"]) == 2
        assert str(os.getpid()) in one_line(capsys)
    finally:
        folder.unlock()
    assert run_quietly(run, "--total-steps", "64") == 2
    assert "tengen resume" in one_line(capsys)


def test_a_checkpoint_of_another_game_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert run_quietly(run, "--total-steps", "64") == 0
    folder = RunFolder.open(run)
    folder.write_config(folder.read_config().replace("tengen/Catch", "tengen/Grid"))
    assert main(["evaluate", str(run)]) == 2
    assert "tengen/Catch" in one_line(capsys)
    assert main(["resume", str(run), "--total-steps", "128"]) == 2
    assert "tengen/Catch" in one_line(capsys)


def test_a_folder_of_the_users_own_is_never_taken_for_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine"
    assert run_quietly(run, "--total-steps", "64") == 0
    (mine / "tensorboard").mkdir(parents=True)
    (mine / "tensorboard" / "mine.txt").write_text("mine")
    (mine / "config.toml").write_text("double = true\n")
    config = ["--config", str(mine / "config.toml")]
    for command in (
        [*TRAIN, "--run-dir", str(mine), *config],
        [*TRAIN, "--run-dir", str(mine), "--device", "cuda:99"],
        ["export", str(run), str(mine)],
    ):
        assert main(command) == 2
        assert "is not empty" in one_line(capsys)
    assert (mine / "tensorboard" / "mine.txt").read_text() == "mine"
    assert (mine / "config.toml").read_text() == "double = true\n"


def test_what_a_resume_changed_holds_though_it_was_killed_before_it_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(*arguments: object, **options: object) -> None:
        raise Killed

    run = tmp_path / "run"
    assert run_quietly(run, "--total-steps", "64") == 0
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoint, "save", die)
        main(["resume", str(run), "--threads", "2", "--total-steps", "128"])
    capsys.readouterr()
    assert main(["resume", str(run)]) == 0
    folder = RunFolder.open(run)
    assert folder.read_config().startswith("# computed with --device cpu --threads 2")
    assert main(["resume", str(run), "--checkpoint", "step_typo"]) == 2
    assert folder.read_status()["state"] == "finished", "a mistyped resume does no harm"


def test_a_run_from_a_gpu_goes_on_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with monkeypatch.context() as patch:
        patch.setattr(Arithmetic, "state_dict", lambda self: {**vars(self), "device": "cuda"})
        assert run_quietly(run, "--total-steps", "64") == 0
    folder = RunFolder.open(run)
    folder.write_config(folder.read_config().replace('device = "cpu"', 'device = "auto"'))
    assert main(["resume", str(run), "--total-steps", "128"]) == 0
    assert "there is no cuda here" in capsys.readouterr().err
    assert folder.read_config().startswith("# computed with --device cpu --threads 1")
    assert main(["resume", str(run), "--device", "cuda", "--total-steps", "192"]) == 2
    assert "--device cuda is not on this machine" in one_line(capsys)
    assert main(["evaluate", str(run), "--device", "cuda"]) == 2
    assert "--device cuda is not on this machine" in one_line(capsys)


def test_a_locked_option_cannot_change_on_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert run_quietly(run, "--total-steps", "64") == 0
    assert main(["resume", str(run), "--n-step", "5"]) == 2
    assert "--n-step from 3 to 5" in one_line(capsys)


def test_a_start_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path / "roms"))
    (tmp_path / "mine").mkdir()
    places = (["--runs", str(tmp_path / "runs")], ["--run-dir", str(tmp_path / "mine")])
    for wrong, said in (
        (["--env", "ALE/Pong-v5"], "ROM"),
        (["--env", "tengen/Catch", "--network", "natur"], "natur"),
        (["--env", "tengen/Catch", "--device", "cuda:99"], "cuda:99"),
        (["--env", "tengen/Catch", "--replay-capacity", "1000000000000"], "memory"),
    ):
        for place in places:
            assert main(["train", "dqn", *wrong, *place]) == 2
            assert said in one_line(capsys)
            assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
