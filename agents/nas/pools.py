"""Where children are trained: in this process, one by one, or several at once in their own.

Own processes are new programs, not forks, which would copy the locks of torch's threads. One takes
child after child, as starting it takes longer than training a small child.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Any, Protocol

import torch

from agents.nas.child import ERROR, READY, Job, Trainer, results
from agents.nas.evaluator import Result
from core.errors import UserError

GRACE_SECONDS = 10.0
"""A child ends itself between two updates when its time is over; one that does not is killed after
so many seconds more."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from agents.nas.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


class Pool(Protocol):
    """Trains children."""

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin with these. Called when none is in work."""

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        """Results that came in; waits for one, but not much longer."""

    def close(self) -> None:
        """Give up what is in work."""


class InThisProcess:
    """One child after the other, in slices of time, on random numbers apart from ours."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._jobs: deque[Job] = deque()
        self._training: Iterator[Result | None] | None = None
        self._random = torch.get_rng_state()

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin with these."""
        self._jobs = deque(jobs)

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        """The next result; nothing where it takes longer. One update is made in any case."""
        end = time.monotonic() + seconds
        with self._own_random_numbers():
            while self._jobs:
                if self._training is None:
                    self._training = results(self.trainer, self._jobs[0])
                result = next(self._training)
                if result is not None:
                    self._training = None
                    return [(self._jobs.popleft().number, result)]
                if time.monotonic() >= end:
                    break
        return []

    @contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        ours = torch.get_rng_state()
        torch.set_rng_state(self._random)
        try:
            yield
        finally:
            self._random = torch.get_rng_state()
            torch.set_rng_state(ours)

    def close(self) -> None:
        """Forget the rest."""
        self._jobs.clear()
        self._training = None


class _Process:
    """A program that trains."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self.connection, theirs = Pipe()
        lifeline, self._lifeline = os.pipe()
        try:
            self._program = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, json.dumps(sys.path), str(theirs.fileno()),
                 str(lifeline)],
                pass_fds=(theirs.fileno(), lifeline),
                stdin=subprocess.DEVNULL,
                process_group=0,  # out of reach of Ctrl-C, which means the one that searches
            )  # fmt: skip
        finally:
            theirs.close()
            os.close(lifeline)
        self.ready = False
        self.job: Job | None = None
        self.began = 0.0
        with suppress(ConnectionError):
            self.connection.send_bytes(json.dumps(wanted).encode())

    def give(self, job: Job) -> None:
        self.job, self.began = job, time.monotonic()
        with suppress(ConnectionError):  # one that died is told of when its answer is missing
            self.connection.send_bytes(json.dumps(asdict(job)).encode())

    def end(self) -> int:
        """Its exit code; it is killed if it runs."""
        self._program.kill()
        self.connection.close()
        os.close(self._lifeline)
        return self._program.wait()

    def fate(self) -> int:
        """The exit code of one that ends by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._program.wait(GRACE_SECONDS)
        return self.end()


class InProcesses:
    """Several children at once."""

    def __init__(
        self,
        processes: int,
        arguments: Mapping[str, Any],
        *,
        seconds: float = 0.0,
        megabytes: int = 0,
        factory: str = "agents.nas.training:make_trainer",
    ) -> None:
        """Args:
        processes: at most so many; they start with the first children.
        arguments: of the factory, as JSON holds them.
        seconds: a child may take; 0 for no limit.
        megabytes: a child may take above what its process has; 0 for no limit.
        factory: 'module:function' that makes the trainer in a process.
        """
        self.processes = processes
        self.seconds = seconds
        self.wanted = {
            "factory": factory,
            "arguments": dict(arguments),
            "megabytes": megabytes,
        }
        self._waiting: deque[Job] = deque()
        self._running: list[_Process] = []

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin with these."""
        self._waiting = deque(jobs)
        while len(self._running) < min(self.processes, len(jobs)):
            self._running.append(_Process(self.wanted))
        self._deal()

    def _deal(self) -> None:
        for process in self._running:
            if process.ready and process.job is None and self._waiting:
                process.give(self._waiting.popleft())

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        """Results that came in.

        Raises:
            UserError: a process cannot begin, as where the data are gone.
        """
        found = []
        by_connection = {process.connection: process for process in self._running}
        for connection in wait(list(by_connection), seconds):
            found += self._hear(by_connection[connection])  # type: ignore[index]
        for process in [p for p in self._running if self._is_late(p)]:
            assert process.job is not None
            number = process.job.number
            self._replace(process)
            result = Result("out of time", {}, self.seconds, f"over {self.seconds:g} seconds")
            found.append((number, result))
        self._deal()
        return found

    def _is_late(self, process: _Process) -> bool:
        allowed = self.seconds + GRACE_SECONDS
        return (
            bool(self.seconds)
            and process.job is not None
            and time.monotonic() - process.began > allowed
        )

    def _hear(self, process: _Process) -> list[tuple[int, Result]]:
        """What one has to say: that it is ready, a result, or that it is no more."""
        try:
            message = process.connection.recv_bytes()
        except (EOFError, ConnectionError):
            return self._bury(process)
        if message[:1] == ERROR:
            raise UserError(message[1:].decode())
        if message == READY:
            process.ready = True
            return []
        assert process.job is not None
        number, process.job = process.job.number, None
        return [(number, Result(**json.loads(message)))]

    def _bury(self, process: _Process) -> list[tuple[int, Result]]:
        """A process ended: what that says of the child in it."""
        job, seconds = process.job, time.monotonic() - process.began
        code = process.fate()
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        self._running.remove(process)
        if job is None:
            raise UserError(f"a process that trains children ended with {how} before it began")
        if self._waiting:
            self._running.append(_Process(self.wanted))
        # Nobody but the system sends this one: it does when there is no more memory.
        status = "out of memory" if code == -9 else "failed"
        return [(job.number, Result(status, {}, seconds, f"its process ended with {how}"))]  # type: ignore[arg-type]

    def _replace(self, process: _Process) -> None:
        process.end()
        self._running.remove(process)
        if self._waiting:
            self._running.append(_Process(self.wanted))

    def close(self) -> None:
        """End all processes, whatever they do."""
        for process in self._running:
            process.end()
        self._running = []
        self._waiting.clear()
