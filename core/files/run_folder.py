"""The folder of a run, which is its identity: everything a resume or an evaluation needs.

    runs/<agent>/<environment>/<time>-s<seed>-<id>/
        config.toml  meta.json  status.json      what was asked, with what, and how it goes
        metrics.jsonl  episodes.jsonl  evaluations.jsonl
        events.out.tfevents.*                    for TensorBoard, which names a run by its folder
        checkpoints/  videos/  replay/

A folder may come from a stranger: reading it is bounded in size and parses JSON only.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import secrets
import shlex
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import atomic
from core.files.json_files import (
    MAX_LINE_BYTES,
    MAX_TEXT_BYTES,
    disk_errors,
    json_text,
    parsed,
    read_json,
    read_text,
    whole_lines,
)
from core.machine.environment_facts import environment_facts

__all__ = ["STATES", "RunFolder", "environment_facts"]

STATES = ("created", "running", "stopped", "diverged", "failed", "finished")

_RECORDS_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\.jsonl")
_MAX_CANDIDATES = 2000
_MARKS = ("status.json", "config.toml", "meta.json")
_EVENTS = "events.out.tfevents."
_MADE_AT_THE_START = {*_MARKS, ".lock", "checkpoints", "replay", "tensorboard", "wandb"}


class RunFolder:
    """One run's folder. Reading needs no lock; a run that writes calls `lock` first.

    The folders that the properties name are made by those who write into them.
    """

    def __init__(self, path: Path) -> None:
        """Use `path` as it is; `create` and `open` check it."""
        self.path = path
        self._lock: int | None = None
        self._status: dict[str, Any] = {}
        self._made: list[Path] = []
        self._was_empty = False

    @classmethod
    def create(
        cls, root: Path, agent: str, environment: str, seed: int, path: Path | None = None
    ) -> RunFolder:
        """Make the folder of a new run below `root`, or exactly at `path`.

        `path` must be empty, or hold a run that ended before anything was saved: that one starts
        again. Raises UserError.
        """
        if path is None:
            moment = time.strftime("%Y%m%d-%H%M%S")
            name = f"{moment}-s{seed}-{secrets.token_hex(3)}"
            path = Path(root) / _slug(agent) / _slug(environment) / name
        path = Path(path)
        with disk_errors("make the run folder", path):
            if path.is_dir() and any(path.glob("[!.]*")):
                if cls(path).ended_unsaved():
                    return cls.open(path)
                raise UserError(f"{path} is not empty; {_way_out(path)}")
            missing = [folder for folder in (path, *path.parents) if not folder.exists()]
            atomic.make_folder(path)
            run = cls(path)
            run._made, run._was_empty = missing, True
            run._status = {"state": "created", "heartbeat": time.time()}
            atomic.replace_file(path / "status.json", [json_text(run._status)])
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the run in `path`. Raises UserError, naming runs nearby, if there is none."""
        path = Path(path)
        if not _is_run(path):
            found = _runs_near(path)
            hint = f"; did you mean {' or '.join(map(str, found))}?" if found else ""
            raise UserError(f"{path} is not the folder of a run{hint}")
        run = cls(path)
        run._status = run.read_status()
        return run

    def ended_unsaved(self) -> bool:
        """Tell whether there is what a run makes before its first checkpoint, and nothing else."""
        if self.read_status().get("state") not in STATES:
            return False  # somebody else's folder, whatever its files are called
        names = {child.name for child in self.path.iterdir()}
        names = {name for name in names if not name.startswith((".tmp-", _EVENTS))}
        return names <= _MADE_AT_THE_START and not any(self.checkpoints.glob("[!.]*"))

    def discard_unsaved(self) -> None:
        """Remove what `create` made of a run that could not begin.

        One that was saved stays, and so does what was there before.
        """
        with suppress(OSError):
            if not self._was_empty or not self.ended_unsaved():
                return
            for child in self.path.iterdir():
                if child.name != ".lock":
                    atomic.remove(child)
            (self.path / ".lock").unlink(missing_ok=True)  # last: nobody else comes in before
            for folder in self._made:
                folder.rmdir()

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def videos(self) -> Path:
        """Folder of the videos."""
        return self.path / "videos"

    @property
    def replay(self) -> Path:
        """Folder of a memory-mapped replay."""
        return self.path / "replay"

    @property
    def events(self) -> Path:
        """Folder of the TensorBoard events: the run's, or in older runs one inside it."""
        inside = self.path / "tensorboard"
        return inside if inside.is_dir() else self.path

    @property
    def quoted(self) -> str:
        """The path as a shell reads it, for commands that the user is shown."""
        return shlex.quote(str(self.path))

    def lock(self) -> None:
        """Keep other processes from writing to this run until `unlock` or the process's end.

        Raises UserError, naming the process that has it, if the run is in use.
        """
        note = {"pid": os.getpid(), "host": socket.gethostname()}
        file = self.path / ".lock"
        with disk_errors("lock", file):
            if self._lock is None:
                self._lock = atomic.lock_file(file, json_text(note))
        if self._lock is None:
            holder: dict[str, Any] = {}
            with suppress(UserError):
                holder = read_json(file)
            raise UserError(
                f"{self.path} is in use by process {holder.get('pid', '(unknown)')}"
                f" on {holder.get('host', '(unknown)')}; stop that one or start a new run"
            )

    def unlock(self) -> None:
        """Let others write to this run. Does nothing if this object does not hold the lock."""
        if self._lock is not None:
            atomic.unlock_file(self._lock)
            self._lock = None

    def write_config(self, text: str) -> None:
        """Replace config.toml."""
        self._write("config.toml", text.encode())

    def read_config(self) -> str:
        """Return the text of config.toml. Raises UserError if there is none."""
        return read_text(self.path / "config.toml")

    def write_meta(self, meta: dict[str, Any]) -> None:
        """Replace meta.json."""
        self._write("meta.json", json_text(meta))

    def read_meta(self) -> dict[str, Any]:
        """Return the content of meta.json. Raises UserError if there is none."""
        return read_json(self.path / "meta.json")

    def set_status(self, state: str, **facts: Any) -> None:
        """Replace status.json: `state`, the time, this process, and `facts` such as step=5.

        Facts given earlier stay. A full disk leaves the old file's space to use; if that
        fails, too, it is ignored: no run should fail for its status.
        """
        if state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}, not {state!r}")
        own = {"state": state, "heartbeat": time.time(), "pid": os.getpid()}
        self._status = {**self._status, **facts, **own}
        file, text = self.path / "status.json", json_text(self._status)
        with suppress(OSError):
            try:
                atomic.replace_file(file, [text])
            except OSError:
                atomic.overwrite(file, text)

    def read_status(self) -> dict[str, Any]:
        """Return the content of status.json, or {} if it is absent or unreadable."""
        try:
            return read_json(self.path / "status.json")
        except UserError:
            return {}

    def append_jsonl(self, name: str, record: dict[str, Any]) -> None:
        """Add one line to `name`, such as "metrics.jsonl". Numbers that are not finite: null.

        Raises UserError if the disk fails; the file then ends with the line before.
        """
        line = json_text(record, indent=None).rstrip()
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"a record of {name} has {len(line)} bytes, over {MAX_LINE_BYTES}")
        path = self._records(name)
        with disk_errors("write", path):
            atomic.append_line(path, line)

    def read_jsonl(self, name: str) -> list[dict[str, Any]]:
        """Return the records of `name`; [] if it is absent. An unfinished last line is skipped.

        Raises UserError if any other line is not a JSON object.
        """
        path = self._records(name)
        records = []
        with disk_errors("read", path):
            for number, line in enumerate(whole_lines(path), start=1):
                record = parsed(line)
                if record is None:
                    raise UserError(f"{path}:{number}: is not a JSON object; remove that line")
                records.append(record)
        return records

    def truncate_jsonl(self, name: str, max_step: int) -> None:
        """Drop the records of `name` with `agent_steps` above `max_step`, and unreadable lines."""
        path = self._records(name)
        if path.exists():
            with disk_errors("shorten", path):
                lines = (line for line in whole_lines(path) if _step_of(line) <= max_step)
                atomic.replace_file(path, lines)

    def _records(self, name: str) -> Path:
        if not _RECORDS_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name such as 'metrics.jsonl'")
        return self.path / name

    def _write(self, name: str, content: bytes) -> None:
        if len(content) > MAX_TEXT_BYTES:
            raise ValueError(f"{name} would have {len(content)} bytes, over {MAX_TEXT_BYTES}")
        with disk_errors("write", self.path / name):
            atomic.replace_file(self.path / name, [content])


class OthersFolder(RunFolder):
    """The folder of a run to which another process writes: nothing is written from here."""

    def lock(self) -> None:
        """Nothing: the other process has it."""

    def discard_unsaved(self) -> None:
        """Nothing."""

    def set_status(self, state: str, **facts: Any) -> None:
        """Nothing."""

    def append_jsonl(self, name: str, record: dict[str, Any]) -> None:
        """Nothing."""

    def truncate_jsonl(self, name: str, max_step: int) -> None:
        """Nothing."""

    def _write(self, name: str, content: bytes) -> None:
        """Nothing."""


def _slug(name: str) -> str:
    """Return `name` as one harmless folder name: "ALE/Pong-v5" gives "ALE-Pong-v5"."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:100] or "unnamed"


def _way_out(path: Path) -> str:
    if _is_run(path):
        return f"to continue the run there: tengen resume {shlex.quote(str(path))}"
    return "choose a folder that is empty or does not exist"


def _is_run(path: Path) -> bool:
    return any((path / mark).is_file() for mark in _MARKS)


def _runs_near(path: Path) -> list[Path]:
    """Return up to three runs: the one around `path`, or else the last ones below or beside it."""
    around = [parent for parent in path.parents if _is_run(parent)]
    if around:
        return around[:1]
    for start in (path, path.parent):
        found: list[Path] = []
        for depth in range(1, 4):
            with suppress(OSError):
                candidates = start.glob("/".join(["*"] * depth))
                found += filter(_is_run, itertools.islice(candidates, _MAX_CANDIDATES))
        if found:
            return sorted(found, key=lambda run: run.name)[-3:]
    return []


def _step_of(line: bytes) -> float:
    """Return the record's `agent_steps`; 0 if it has none, infinity if it is unreadable."""
    record = parsed(line)
    if record is None:
        return math.inf
    step = record.get("agent_steps", 0)
    return step if isinstance(step, (int, float)) else 0
