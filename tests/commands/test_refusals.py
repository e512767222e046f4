"""Folders that are refused, resumes that cannot be, and starts that fail: nothing is harmed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from commands.dispatch import main
from core.files.run_folder import RunFolder
from core.learner import Arithmetic
from tests.commands.short_runs import TRAIN, one_line, run_quietly


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
