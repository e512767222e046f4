"""`tengen resume` without a name goes on with the run that a person means."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.dispatch import main
from commands.resume import newest_unfinished
from core.errors import UserError
from core.files.run_folder import RunFolder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(path: str | None, state: str) -> RunFolder:
    run = RunFolder.create(Path("runs"), "dqn", "ALE/Pong-v5", 1, Path(path) if path else None)
    run.write_config("")
    run.write_meta({})
    run.set_status(state)
    return run


def test_the_newest_that_can_go_on_is_meant(here: Path) -> None:
    with pytest.raises(UserError, match="no run here; name its folder"):
        newest_unfinished()
    somebody_elses = here / "build"
    somebody_elses.mkdir()
    (somebody_elses / "status.json").write_text('{"state": "running"}')
    with pytest.raises(UserError, match="no run here; name its folder"):
        newest_unfinished()
    finished = make("runs/done", "finished")
    with pytest.raises(UserError, match="resume runs/done --total-steps N"):
        newest_unfinished()
    finished.set_status("running")
    finished.lock()
    with pytest.raises(UserError, match=r"to go on; runs/done is in training$"):
        newest_unfinished()
    finished.unlock()
    finished.set_status("finished")
    older, deep, beside = make("runs/old", "stopped"), make(None, "running"), make("mine", "failed")
    make("runs/newer", "finished")
    assert newest_unfinished() == beside.path
    beside.lock()
    assert newest_unfinished() == deep.path, "the other one is being trained"
    beside.unlock()
    older.set_status("stopped")
    assert newest_unfinished() == older.path, "it was alive last"
    finished.set_status("running")
    assert newest_unfinished() == finished.path


def test_a_run_stopped_here_goes_on_without_being_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--env", "tengen/Grid", "--total-steps", "64", "--evaluate-every", "0"]
    assert main(["train", "q-learning", *argv, "--no-progress", "--run-dir", "mine"]) == 0
    run = RunFolder.open(Path("mine"))
    run.set_status("stopped")
    assert main(["resume", "--total-steps", "128"]) == 0
    assert "the newest unfinished run here: mine\n" in capsys.readouterr().err
    assert run.open(run.path).read_status()["agent_steps"] == 128
    assert main(["resume", "--total-steps", "192", "--no-progress", "mine"]) == 0
    assert run.open(run.path).read_status()["agent_steps"] == 192
    capsys.readouterr()
    run.set_status("stopped")
    assert main(["resume", "--checkpoint", "mine"]) == 2
    assert "the newest unfinished run here: mine\n" in capsys.readouterr().err
    assert main(["resume", "--env-kwargs", "a" * 300]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("tengen: error: ")
