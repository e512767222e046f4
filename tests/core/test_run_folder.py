"""A run's folder: names, lock, status, records that survive kills, folders from strangers."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from core.files import atomic, json_files
from core.files.run_folder import STATES, RunFolder, environment_facts

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "dqn", "ALE/Pong-v5", 3)


def test_create_names_the_run_and_open_finds_it(run: RunFolder, tmp_path: Path) -> None:
    below = str(run.path.relative_to(tmp_path))
    assert re.fullmatch(r"runs/dqn/ALE-Pong-v5/\d{8}-\d{6}-s3-[0-9a-f]{6}", below)
    assert RunFolder.open(run.path).read_status()["state"] == "created"
    other = RunFolder.create(tmp_path / "runs", "../dqn", "../../x", 3)
    assert other.path.resolve().parents[2] == tmp_path / "runs"


def test_an_explicit_folder_holds_nothing_saved(run: RunFolder, tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path, "dqn", "x", 0, run.path).path == run.path, "nothing saved"
    (run.path / "checkpoints" / "step_000000000").mkdir(parents=True)
    with pytest.raises(UserError, match=f"not empty.*tengen resume {run.path}"):
        RunFolder.create(tmp_path, "dqn", "x", 0, run.path)
    with pytest.raises(UserError, match="choose a folder that is empty"):
        RunFolder.create(tmp_path, "dqn", "x", 0, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="could not make the run folder"):
        RunFolder.create(tmp_path, "dqn", "x", 0, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert RunFolder.create(tmp_path, "dqn", "x", 0, tmp_path / "empty").path.name == "empty"


def test_open_suggests_runs_nearby(run: RunFolder, tmp_path: Path) -> None:
    for path in (
        tmp_path / "runs",
        run.path.parent / "mistyped",
        run.checkpoints / "step_000000001",
    ):
        with pytest.raises(UserError, match=f"not the folder of a run; did you mean {run.path}"):
            RunFolder.open(path)
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    with pytest.raises(UserError, match=r"not the folder of a run$"):
        RunFolder.open(tmp_path / "elsewhere" / "deep")


def test_only_one_process_holds_the_lock(run: RunFolder) -> None:
    script = (
        "import sys; from pathlib import Path; from core.files.run_folder import RunFolder\n"
        "RunFolder.open(Path(sys.argv[1])).lock()\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(run.path)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"locked\n"
        with pytest.raises(UserError, match=rf"in use by process {holder.pid} on \S+;"):
            run.lock()
        holder.kill()
    run.lock()
    run.lock()
    with pytest.raises(UserError, match=f"in use by process {os.getpid()} "):
        RunFolder.open(run.path).lock()
    run.unlock()
    RunFolder.open(run.path).lock()


def test_config_and_meta(run: RunFolder) -> None:
    run.write_config('name = "été"\n')
    run.write_meta({"seed": np.int64(3), "argv": ("a", Path("b")), "rate": math.inf})
    assert RunFolder.open(run.path).read_config() == 'name = "été"\n'
    assert RunFolder.open(run.path).read_meta() == {"seed": 3, "argv": ["a", "b"], "rate": None}
    (run.path / "meta.json").unlink()
    with pytest.raises(UserError, match=r"could not read .*meta\.json: No such file"):
        run.read_meta()


def test_status_keeps_facts_and_survives_a_full_disk(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.set_status("running", step=5)
    run = RunFolder.open(run.path)
    run.set_status("stopped")
    status = run.read_status()
    assert (status["state"], status["step"], status["pid"]) == ("stopped", 5, os.getpid())
    for name in ("create_file", "write_bytes", "sync", "rename", "remove", "sync_folder"):
        with monkeypatch.context() as patch:
            patch.setattr(atomic, name, no_space)
            run.set_status("failed")
        json.loads((run.path / "status.json").read_text())
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "create_file", no_space)  # no new file, but the old one's space
        run.set_status("failed")
    assert run.read_status()["state"] == "failed"
    run.set_status("finished")
    assert run.read_status()["state"] == "finished" and "finished" in STATES
    assert not list(run.path.glob(".tmp-*"))
    with pytest.raises(ValueError, match="must be one of created, running"):
        run.set_status("runing")


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


RECORDS: list[dict[str, Any]] = [
    {"agent_steps": step, "loss": step / 7, "text": "a\nb"} for step in (10, 20, 30)
]


def test_a_torn_last_line_never_spoils_the_next(run: RunFolder) -> None:
    for record in RECORDS:
        run.append_jsonl("metrics.jsonl", record)
    path = run.path / "metrics.jsonl"
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content) + 1):
        for torn in (content[:cut], content[:cut] + bytes(100_000)):
            path.write_bytes(torn)
            whole = RECORDS[: sum(end <= cut for end in ends)]
            assert run.read_jsonl("metrics.jsonl") == whole
            run.append_jsonl("metrics.jsonl", {"agent_steps": 99})
            assert run.read_jsonl("metrics.jsonl") == [*whole, {"agent_steps": 99}]


def test_a_full_disk_leaves_the_records_before(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_then_full(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[: len(data) // 2])
        no_space()

    run.append_jsonl("episodes.jsonl", RECORDS[0])
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_bytes", half_then_full)
        with pytest.raises(UserError, match=r"could not write .*episodes\.jsonl: No space"):
            run.append_jsonl("episodes.jsonl", RECORDS[1])
    assert (run.path / "episodes.jsonl").read_bytes().endswith(b"}\n")
    run.append_jsonl("episodes.jsonl", RECORDS[2])
    assert run.read_jsonl("episodes.jsonl") == [RECORDS[0], RECORDS[2]]


def test_records_are_strict_json(run: RunFolder) -> None:
    record = {"loss": np.float32("nan"), "score": np.float64(1.5), "q": [math.inf, np.int64(2)]}
    run.append_jsonl("metrics.jsonl", record)
    line = (run.path / "metrics.jsonl").read_text()
    assert line.count("\n") == 1 and "NaN" not in line
    assert run.read_jsonl("metrics.jsonl") == [{"loss": None, "score": 1.5, "q": [None, 2]}]
    for name in ("metrics", "../metrics.jsonl", "metrics.json"):
        with pytest.raises(ValueError, match="is not a name"):
            run.append_jsonl(name, record)


def test_truncate_drops_the_lost_timeline(run: RunFolder) -> None:
    run.truncate_jsonl("metrics.jsonl", 10)
    assert run.read_jsonl("metrics.jsonl") == []
    noted: dict[str, Any] = {"note": "no step"}
    for record in [noted, *RECORDS]:
        run.append_jsonl("metrics.jsonl", record)
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(bytes(20) + b"\n" + b'{"agent_steps": 15')
    with pytest.raises(UserError, match=r"metrics\.jsonl:5: is not a JSON object"):
        run.read_jsonl("metrics.jsonl")
    run.truncate_jsonl("metrics.jsonl", 20)
    assert run.read_jsonl("metrics.jsonl") == [noted, *RECORDS[:2]]


def test_folders_from_strangers_are_only_data(run: RunFolder) -> None:
    too_large = b"{" + b" " * json_files.MAX_TEXT_BYTES + b"}"
    huge_number = b'{"a": ' + b"1" * 5000 + b"}"
    for content in (b"[" * 100_000, b'"text"', b"\xff\xfe", too_large, huge_number):
        for name in ("status.json", "meta.json"):
            (run.path / name).write_bytes(content)
        assert RunFolder.open(run.path).read_status() == {}
        with pytest.raises(UserError):
            run.read_meta()
        (run.path / "metrics.jsonl").write_bytes(content + b"\n")
        with pytest.raises(UserError, match=r"metrics\.jsonl"):
            run.read_jsonl("metrics.jsonl")
    with (run.path / "metrics.jsonl").open("wb") as file:
        file.truncate(json_files.MAX_LINES_FILE_BYTES + 1)
    with pytest.raises(UserError, match="larger than"):
        run.read_jsonl("metrics.jsonl")
    for name in ("config.toml", "metrics.jsonl"):
        (run.path / name).unlink(missing_ok=True)
        os.mkfifo(run.path / name)
    with pytest.raises(UserError, match="not a regular file"):
        run.read_config()
    with pytest.raises(UserError, match="not a regular file"):
        run.read_jsonl("metrics.jsonl")


def test_facts_are_json_and_import_nothing_heavy() -> None:
    script = (
        "import sys; from core.files.run_folder import environment_facts; environment_facts()\n"
        "print(sorted({'torch', 'numpy', 'gymnasium'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    assert subprocess.check_output(command, env=environment, text=True) == "[]\n"
    facts = environment_facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["cores"] >= 1 and facts["argv"] == sys.argv
    assert (facts["git"] is not None) == (ROOT / ".git").exists()
