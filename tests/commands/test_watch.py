"""`tengen watch` names runs by their folders."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

from commands.dispatch import main
from core.files.run_folder import RunFolder
from core.report.logging import RunLogger


def write_run(root: Path, seed: int, old: bool = False) -> RunFolder:
    run = RunFolder.create(root, "dqn", "ALE/Pong-v5", seed, root / "dqn" / f"pong-s{seed}")
    if old:
        (run.path / "tensorboard").mkdir()
    logger = RunLogger(run.events)
    logger.scalars({"return/raw": 1.0}, 1)
    logger.close()
    return run


def watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the runs in the TensorBoard that the command would become."""
    commands: list[Sequence[str]] = []

    def record(program: str, command: Sequence[str], environment: Any) -> None:
        commands.append(command)

    monkeypatch.setattr(os, "execve", record)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    main(["watch", str(folder), "--port", str(port)])
    arguments = commands[0]
    where = arguments.index("-m") + 2
    option, value = arguments[where : where + 2]
    name, path = value.split(":") if option == "--logdir_spec" else (None, value)
    return set(EventMultiplexer().AddRunsFromDirectory(path, name).Runs())


def test_runs_have_the_names_of_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_run(tmp_path, 1)
    old = write_run(tmp_path, 2, old=True)
    names = watched(tmp_path, monkeypatch)
    assert names == {"dqn/pong-s1", "dqn/pong-s2/tensorboard"}, "older runs are seen too"
    assert watched(one.path, monkeypatch) == {"pong-s1/."}
    assert watched(old.path, monkeypatch) == {"pong-s2/."}
    one.path.rename(tmp_path / "a,b")
    assert watched(tmp_path / "a,b", monkeypatch) == {"."}, "no name can be given to this one"


def test_a_run_that_saved_nothing_starts_again_beside_its_events(tmp_path: Path) -> None:
    run = write_run(tmp_path, 1)
    assert run.ended_unsaved()
    (run.path / "notes.txt").touch()
    assert not run.ended_unsaved()
