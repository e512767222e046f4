"""Threads that run compiled kernels on shares of a batch.

Handing out a share must cost less than the share, and a tick of a search is about a millisecond:
queues do it here, without the futures and conditions of `concurrent.futures`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue

import numpy as np

Work = Callable[[int, int, int], object]
"""work(first, last, thread) does items [first, last) with the memory of a thread; what it calls
must let go of the interpreter's lock."""


Job = tuple[Work, int, int, int]


class Threads:
    """A team that does one piece of work at a time, the caller among it."""

    def __init__(self, threads: int) -> None:
        """Raises ValueError for fewer than one."""
        if threads < 1:
            raise ValueError(f"{threads} threads cannot work")
        self.count = threads
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._inboxes: list[SimpleQueue[Job | None]] = [SimpleQueue() for _ in range(threads - 1)]
        helpers = [
            threading.Thread(target=_serve, args=(inbox, self._done), daemon=True)
            for inbox in self._inboxes
        ]
        for helper in helpers:
            helper.start()
        self.close = weakref.finalize(self, _send_home, self._inboxes, helpers)
        """Ends the threads; so does forgetting the team, and the end of the program."""

    def run(self, work: Work, shares: Sequence[tuple[int, int]]) -> None:
        """Do shares [first, last), at most one a thread, and wait for all of them.

        Raises what a share raised, or ValueError for too many shares or after `close`.
        """
        (first, last), *others = shares
        if len(others) >= self.count or not self.close.alive:
            raise ValueError(f"{len(shares)} shares for {self.count} threads, or these were closed")
        for thread, share in enumerate(others, 1):
            self._inboxes[thread - 1].put((work, *share, thread))
        error: BaseException | None = None
        waiting = len(others)
        try:
            work(first, last, 0)
        except BaseException as raised:
            error = raised
        while waiting:  # the memory is theirs until they are done, also after Ctrl-C
            try:
                error = self._done.get() or error
                waiting -= 1
            except BaseException as raised:
                error = raised
        if error is not None:
            raise error


def shares_of(first: int, last: int, parts: int) -> list[tuple[int, int]]:
    """Cut [first, last) into nearly equal shares, none empty."""
    bounds = np.linspace(first, last, max(1, min(parts, last - first)) + 1).astype(int).tolist()
    return list(zip(bounds[:-1], bounds[1:], strict=True))


def _serve(inbox: SimpleQueue[Job | None], done: SimpleQueue[BaseException | None]) -> None:
    while True:
        job = inbox.get()
        if job is None:
            return
        work, first, last, thread = job
        error = None
        try:
            work(first, last, thread)
        except BaseException as raised:
            error = raised
        # Nobody is kept alive by work that is done.
        del job, work
        done.put(error)
        del error


def _send_home(inboxes: list[SimpleQueue[Job | None]], helpers: list[threading.Thread]) -> None:
    for inbox in inboxes:
        inbox.put(None)
    for helper in helpers:
        if helper is not threading.current_thread():  # it may be the last to forget the team
            helper.join()
