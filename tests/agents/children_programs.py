"""What the processes of a test do with a child: whatever its design says."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from agents.nas.child import Job
from core.errors import UserError


class Obedient:
    """A trainer that trains nothing."""

    def __init__(self, marks: str) -> None:
        self.marks = marks

    def train(self, job: Job) -> Iterator[Mapping[str, float] | None]:
        """Do as the design says."""
        yield None
        what = job.design["does"]
        if what == "exits":
            os._exit(7)
        if what == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hangs":
            Path(self.marks, str(os.getpid())).touch()
            while True:
                time.sleep(0.01)
        if what == "eats memory":
            eaten = []
            while True:
                eaten.append(bytearray(8 << 20))
        if what == "raises":
            raise ValueError("no network can be\nmade of this")
        yield {"score": float(job.number), "process": float(os.getpid())}


def make_trainer(marks: str) -> Obedient:
    """The factory."""
    if marks == "gone":
        raise UserError("the data are gone")
    return Obedient(marks)
