"""A process that trains children for ``agents.nas.pools``, one after the other.

    to the process     JSON: how it trains   | a job, again and again
    from the process   READY | E one line for the user | a result for each job

A child that breaks the process, or hangs in it, breaks nothing else: another process takes its
place.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from agents.nas.evaluator import Result, Status
from agents.registry import load_object
from core.errors import UserError, is_out_of_memory
from core.files.json_files import json_text

READY, ERROR = b"READY", b"E"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Job:
    """A child to be trained."""

    number: int
    design: Mapping[str, Any]
    seed: int
    """Its own."""
    until: float = 1.0
    """The share of its epochs after which it is scored."""
    folder: str = ""
    """Where it is kept to be trained on after that, and found again; '' where that is the end."""


class Unfit(Exception):
    """A child cannot be scored."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status


class Trainer(Protocol):
    """What trains children, as `agents.nas.training.ChildTrainer` does."""

    def train(self, job: Job) -> Iterator[Mapping[str, float] | None]:
        """None now and then, in the end the metrics. May raise anything."""


def results(trainer: Trainer, job: Job) -> Iterator[Result | None]:
    """None now and then, in the end the result; whatever goes wrong with a child is its result."""
    started = time.monotonic()
    metrics: Mapping[str, float] = {}
    status: Status = "ok"
    message = ""
    try:
        for found in trainer.train(job):
            if found is None:
                yield None
            else:
                metrics = found
    except Exception as error:
        message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        status = _status_of(error)
    yield Result(status, metrics, time.monotonic() - started, message)


def _status_of(error: Exception) -> Status:
    if isinstance(error, Unfit):
        return error.status
    return "out of memory" if is_out_of_memory(error) else "failed"


def main(commands: int, lifeline: int) -> None:
    """Serve until the process that started this one is gone, which may be in the middle of a child.

    Args:
        commands: descriptor of a two-way connection.
        lifeline: descriptor of a pipe whose other end closes when that process ends.
    """
    # Where a whole service is told to stop, the process that searches ends its children.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    try:
        _serve(Connection(commands))
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: this returns when the other end closes
    os._exit(1)


def _serve(connection: Connection) -> None:
    wanted = json.loads(connection.recv_bytes())
    try:
        trainer: Trainer = load_object(wanted["factory"])(**wanted["arguments"])
    except UserError as error:
        connection.send_bytes(ERROR + str(error).encode())
        return
    if wanted["megabytes"]:
        limit_memory(wanted["megabytes"])
    connection.send_bytes(READY)
    with suppress(EOFError, ConnectionError):
        while True:
            job = json.loads(connection.recv_bytes())
            *_, result = results(trainer, Job(**job))
            assert result is not None
            connection.send_bytes(json_text(asdict(result), indent=None))


def limit_memory(megabytes: int) -> None:
    """Let every allocation fail that would take this process so far above what it has now."""
    status = Path("/proc/self/status")
    if not status.exists():  # no Linux
        return
    words = {line.split()[0]: line.split()[1:] for line in status.read_text().splitlines() if line}
    now = int(words["VmData:"][0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (now + megabytes * MEGABYTE,) * 2)
