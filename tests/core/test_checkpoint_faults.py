"""Checkpoints under failing disks, crashes at every operation, and kill -9."""

from __future__ import annotations

import errno
import hashlib
import inspect
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.files import atomic, checkpoint, checkpoint_index
from core.files.checkpoint import CheckpointError

FUNCTIONS = {
    name: function
    for name, function in vars(atomic).items()
    if inspect.isfunction(function) and function.__module__ == atomic.__name__
}
WRITES = {"create_file", "write_bytes", "make_folder", "make_new_folder", "write_file"}
SYNCS = {"sync", "sync_folder"}


class Crash(BaseException):
    """Stands for the death of the process: no handler runs, nothing reaches the disk after it."""


class Faults:
    """Makes the `fail_at`-th call of any function of core/files/atomic.py fail in the way `mode`.

    error: that call raises EIO. full: from there on, every write raises ENOSPC, the first one
    after half of its bytes. crash: that call and all later ones raise Crash, a write or removal
    after half of its work.
    """

    def __init__(self, mode: str, fail_at: float) -> None:
        self.mode, self.fail_at, self.calls = mode, fail_at, 0

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls += 1
            if self.calls == self.fail_at and self.mode != "error":
                half(name, arguments)
            if self.calls >= self.fail_at and self.mode == "crash":
                raise Crash
            if self.calls == self.fail_at and self.mode == "error":
                raise OSError(errno.EIO, "Input/output error", "somewhere")
            if self.calls >= self.fail_at and self.mode == "full" and name in WRITES:
                raise OSError(errno.ENOSPC, "No space left on device", "somewhere")
            return None if name in SYNCS else real(*arguments)  # syncing would only cost time

        return call


def half(name: str, arguments: tuple[Any, ...]) -> None:
    """Do half of what the call would do."""
    if name == "write_bytes":
        descriptor, data = arguments
        os.write(descriptor, memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
    if name == "remove" and arguments[0].is_dir():
        for path in sorted(arguments[0].iterdir())[:1]:
            path.unlink()


@contextmanager
def faults(mode: str, fail_at: float) -> Iterator[Faults]:
    injected = Faults(mode, fail_at)
    with pytest.MonkeyPatch.context() as patch:
        for name, real in FUNCTIONS.items():
            patch.setattr(atomic, name, injected.wrap(name, real))
        yield injected


def state_of(value: int) -> dict[str, Any]:
    """A state whose every part tells `value`, so that a mixture of two is noticed."""
    return {"network": {"weight": torch.full((3,), value)}, "counters": {"steps": value}}


def value_of(path: Path) -> int:
    state = checkpoint.load(path).state
    assert state["network"]["weight"].tolist() == [state["counters"]["steps"]] * 3
    return int(state["counters"]["steps"])


Save = tuple[int, int, float | None]
# Saves (step, value, score) before the fault, then the one during which it happens.
SCENARIOS: dict[str, tuple[list[Save], Save]] = {
    "first save": ([], (1, 1, None)),
    "with rotation": ([(1, 1, None), (2, 2, None)], (3, 3, None)),
    "better score": ([(1, 1, 5.0), (2, 2, None), (3, 3, None)], (4, 4, 6.0)),
    "same step again": ([(1, 1, None), (2, 2, 1.0)], (2, 3, 2.0)),
    "same step, only one": ([(2, 2, None)], (2, 3, None)),
}


@pytest.mark.parametrize("mode", ["error", "full", "crash"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_fault_at_any_operation_leaves_the_old_or_the_new(
    tmp_path: Path, scenario: str, mode: str
) -> None:
    before, (step, value, score) = SCENARIOS[scenario]
    template = tmp_path / "template"
    template.mkdir()
    for earlier, earlier_value, earlier_score in before:
        save(template, earlier, earlier_value, earlier_score)
    old = value_of(template) if before else None
    best = checkpoint.best(template)
    best_values = {value_of(best)} if best else set()
    if score is not None:
        best_values.add(value)
    for fail_at in range(1, 1000):
        folder = tmp_path / str(fail_at)
        shutil.copytree(template, folder)
        outcome = "saved"
        with faults(mode, fail_at) as injected:
            try:
                save(folder, step, value, score)
            except CheckpointError as error:
                outcome = "refused"
                assert "\n" not in str(error) and f"step {step}" in str(error)
            except Crash:
                outcome = "crashed"
        if injected.calls < fail_at:
            assert outcome == "saved" and fail_at > 20
            return
        check_after_fault(folder, old, value, outcome)
        if best:
            assert value_of(checkpoint.best(folder) or best) in best_values
        save(folder, 9, 9, None)
        assert value_of(folder) == 9
        assert not list(folder.glob(".tmp-*"))
        assert len(list(folder.glob("step_*"))) <= 3
        shutil.rmtree(folder)
    pytest.fail("the save never ran through")


@pytest.mark.parametrize("damaged", [1, 2, 3])
def test_a_checkpoint_that_cannot_be_read_is_never_passed_over_in_silence(
    tmp_path: Path, damaged: int
) -> None:
    for step, score in ((1, 5.0), (3, 4.0), (2, None)):
        save(tmp_path, step, step, score)
    path = tmp_path / f"step_{damaged:09d}"
    (path / "MANIFEST.json").write_text("not what was written")
    assert checkpoint.newest(tmp_path) == checkpoint.best(tmp_path) == path
    good = 3 if damaged == 2 else 2
    with pytest.raises(CheckpointError, match=f"newest good one is step_{good:09d}"):
        checkpoint.load(tmp_path)
    checkpoint.save(tmp_path, 9, state_of(9), identity={}, keep=5)
    assert value_of(tmp_path) == 9, "a new one is whole, and what was damaged is gone"
    assert not path.exists()


def test_a_folder_of_an_older_version_needs_no_pointers(tmp_path: Path) -> None:
    save(tmp_path, 1, 1, 7.0)
    save(tmp_path, 2, 2, None)
    for name, step in (("latest", 1), ("best", 2)):  # a crash came before they were moved
        (tmp_path / name).write_bytes(checkpoint_index.seal({"name": f"step_{step:09d}"}))
    best = checkpoint.best(tmp_path)
    assert value_of(tmp_path) == 2 and best and value_of(best) == 1
    save(tmp_path, 3, 3, None)
    assert {path.name for path in tmp_path.iterdir()} == {f"step_{s:09d}" for s in (1, 2, 3)}


def save(folder: Path, step: int, value: int, score: float | None) -> None:
    checkpoint.save(folder, step, state_of(value), identity={}, best_score=score)


def check_after_fault(folder: Path, old: int | None, new: int, outcome: str) -> None:
    """The newest checkpoint is whole: the new one if save returned, else the old or the new."""
    try:
        found: int | None = value_of(folder)
    except CheckpointError as error:
        assert "there is no checkpoint here" in str(error)
        found = None
    assert found in ({new} if outcome == "saved" else {old, new})
    if outcome == "refused":
        assert not list(folder.glob(".tmp-*"))


def test_everything_is_synced_before_it_gets_its_name(tmp_path: Path) -> None:
    """A power cut keeps only what was synced: check the order of the operations themselves."""
    log: list[tuple[str, str]] = []

    def record(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            subject = arguments[0]
            if isinstance(subject, int):
                subject = os.readlink(f"/proc/self/fd/{subject}")
            result = FUNCTIONS[name](*arguments)
            log.append((name, Path(subject).name))
            return result

        return call

    save(tmp_path, 1, 1, None)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("write_bytes", "sync", "sync_folder", "rename", "remove"):
            patch.setattr(atomic, name, record(name))
        checkpoint.save(tmp_path, 2, state_of(2), identity={}, keep=1)
    temporary = f".tmp-2-{os.getpid()}"
    renamed = log.index(("rename", temporary))
    files = {"network.safetensors", "state.json", "MANIFEST.json"}
    assert {name for action, name in log[:renamed] if action == "write_bytes"} == files
    for file in files:
        last_write = max(i for i, event in enumerate(log) if event == ("write_bytes", file))
        assert last_write < log.index(("sync", file)) < log.index(("sync_folder", temporary))
    assert log.index(("sync_folder", temporary)) < renamed
    parent_synced = log.index(("sync_folder", tmp_path.name), renamed)
    assert parent_synced < log.index(("rename", "step_000000001"))


def test_a_full_disk_is_one_line_and_costs_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1, 1, None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = {"replay": np.zeros(200_000, np.uint8)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"step 2 .*File too large; earlier") as error:
            checkpoint.save(tmp_path, 2, big, identity={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_000000001"]
    assert value_of(tmp_path) == 1


def content_of(step: int) -> np.ndarray:
    """Bytes that can be recomputed from the step."""
    return np.frombuffer(hashlib.sha256(str(step).encode()).digest() * 50, np.uint8)


def save_for_ever(folder: Path, promises: Path, first_step: int) -> None:
    """Save, then promise; as a training would do it. Every third one is the best so far."""
    atomic.sync = lambda descriptor: None  # a kill loses nothing that was written
    descriptor = os.open(promises, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for step in range(first_step, first_step + 100_000):
        score = float(step) if step % 3 == 0 else None
        state = {"replay": {"frames": content_of(step)}, "step": step}
        checkpoint.save(folder, step, state, identity={}, best_score=score)
        os.write(descriptor, f"{step}\n".encode())


def wait_for_growth(file: Path, seconds: float = 300.0) -> None:
    size, deadline = file.stat().st_size, time.monotonic() + seconds
    while file.stat().st_size == size:
        assert time.monotonic() < deadline, "the child saved nothing"
        time.sleep(0.001)


def test_kill_9_never_loses_what_was_promised(tmp_path: Path) -> None:
    folder, promises = tmp_path / "checkpoints", tmp_path / "promises"
    promises.touch()
    # Its server has imported torch once, and forks without the threads of this process.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "core.files.checkpoint"])
    generator = random.Random(2)
    step = 0
    for _ in range(20):
        child = context.Process(target=save_for_ever, args=(folder, promises, step + 1))
        child.start()
        wait_for_growth(promises)
        time.sleep(generator.random() * 0.05)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        promised = promises.read_text().split()
        loaded = checkpoint.load(folder)
        step = loaded.step
        assert step in (int(promised[-1]), int(promised[-1]) + 1)
        assert loaded.state["step"] == step
        np.testing.assert_array_equal(loaded.state["replay"]["frames"], content_of(step))
        best = checkpoint.best(folder)
        if step >= 3:
            assert best and checkpoint.load(best).step == step - step % 3
