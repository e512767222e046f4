"""What happens to a run that is killed or stopped by a signal."""

from __future__ import annotations

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

import pytest
import torch

from commands.dispatch import main
from core.files import atomic, checkpoint
from core.files.run_folder import RunFolder
from tests.commands.short_runs import TRAIN, Killed, die, one_line, run_quietly

OFTEN = ["--checkpoint-seconds", "0.05", "--log-seconds", "0.1"]
ENDLESS = ["--total-steps", "1000000"]
ROOT = Path(__file__).resolve().parents[2]

CONTEXT = multiprocessing.get_context("forkserver")
# Imported once; every run of the tests below is then a fork that starts in no time.
CONTEXT.set_forkserver_preload(
    ["torch._dynamo", "agents.dqn.build", "agents.nas.build", "agents.nas.proxies", "core.trainer"]
)


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


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_what_a_resume_changed_holds_though_it_was_killed_before_it_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
from core.machine.interrupt import Interrupt
with Interrupt() as interrupt:
    os.kill(os.getpid(), signal.SIGINT)
    if interrupt.requested:
        os.kill(os.getpid(), signal.SIGINT)
os._exit(3)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 130
