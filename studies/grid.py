"""One way to write a study: a grid of cells, each computed once, whatever happens in between.

A cell is everything that decides a result, as JSON: `{"width": 16, "noise": 0.15, "seed": 1}`. A
function turns a cell into what was found. The study names the cells; here they are computed in
parallel processes of one thread each, and kept:

    FOLDER/journal.jsonl    {"cell": ..., "state": "begun"} before a cell is computed,
                            {"cell": ..., "found": ..., "seconds": ...} after it

A study that was stopped or killed goes on where it was, by the same command.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import free
from core.errors import UserError
from core.files.json_files import disk_errors, json_text
from core.machine.interrupt import Interrupt
from core.report.progress import duration

Cell = Mapping[str, Any]
Found = dict[str, Any]
Compute = Callable[[Cell], Found]
"""A function of a module, by which a process of its own finds it again."""
POLL_SECONDS = 0.5
SHOWN = 40
"""Characters of a value in a line of progress."""


@dataclass(frozen=True)
class GridOptions:
    """What every study can be told."""

    quick: bool = False
    """A smaller grid: two minutes at most."""
    processes: int = free(0, at_least=0)
    """Cells at once; 0: one on each core."""
    out: str = ""
    """Folder of journal, results.json, figure.png and page.md."""


class Stopped(UserError):
    """The user asked to stop before all cells were computed."""


class Journal:
    """What was computed, a line at a time."""

    def __init__(self, folder: Path) -> None:
        """Read what is there. Raises UserError where the folder cannot be used."""
        self.path = folder / "journal.jsonl"
        self.found: dict[str, Found] = {}
        self.seconds: dict[str, float] = {}
        with disk_errors("open", self.path):
            folder.mkdir(parents=True, exist_ok=True)
            text = self.path.read_bytes() if self.path.exists() else b""
            self._file = self.path.open("ab")
            if text and not text.endswith(b"\n"):
                self._file.write(b"\n")  # a line that a kill cut off stands alone
        for line in text.splitlines():
            self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if "found" in entry:
                self.found[key(entry["cell"])] = entry["found"]
                self.seconds[key(entry["cell"])] = float(entry["seconds"])
        except (ValueError, TypeError, KeyError):
            return  # cut off: its cell is computed again

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append a line and wait until it is on the disk. Raises UserError on a full one."""
        with disk_errors("write", self.path):
            self._file.write(json_text(dict(entry), indent=None))
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file. What a full disk did not take was said when it was written."""
        with contextlib.suppress(OSError):
            self._file.close()


def key(cell: Cell) -> str:
    """The same text for the same cell."""
    return json.dumps(cell, sort_keys=True)


def run_grid(
    compute: Compute, cells: Sequence[Cell], folder: Path, processes: int = 0
) -> dict[str, Found]:
    """What was found for each cell, by its `key`.

    Args:
        compute: makes the result of one cell, which JSON can hold. It may not depend on anything
            but the cell.
        cells: one that is there twice is computed once.
        folder: where the journal lies; one that is there is gone on with.
        processes: cells at once; 0 for one on each core, 1 for none but this one.

    Raises:
        Stopped: SIGINT or SIGTERM; what was finished is kept.
        UserError: a cell failed, which names it, or the journal cannot be written.
    """
    journal = Journal(folder)
    try:
        cells = list({key(cell): cell for cell in cells}.values())
        missing = [cell for cell in cells if key(cell) not in journal.found]
        if len(missing) < len(cells):
            print(f"{len(cells) - len(missing)} of {len(cells)} cells are in {journal.path}")
        with Interrupt() as asked_to_stop:
            processes = min(processes or len(os.sched_getaffinity(0)), len(missing))
            run = _in_this_process if processes <= 1 else _in_processes
            began = time.perf_counter()
            for number, (cell, found, seconds) in enumerate(
                run(compute, missing, journal, processes, asked_to_stop), start=1
            ):
                journal.write({"cell": cell, "found": found, "seconds": round(seconds, 2)})
                journal.found[key(cell)] = json.loads(json_text(found))  # as it is read back
                left = (time.perf_counter() - began) / number * (len(missing) - number)
                print(
                    f"{len(cells) - len(missing) + number}/{len(cells)}  {_short(cell)}  "
                    f"{duration(seconds)}, {duration(left)} left",
                    flush=True,
                )
        return {key(cell): journal.found[key(cell)] for cell in cells}
    finally:
        journal.close()


Results = Iterator[tuple[Cell, Found, float]]


def _in_this_process(
    compute: Compute, cells: Sequence[Cell], journal: Journal, _: int, stop: Callable[[], bool]
) -> Results:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are in another order on several
    try:
        for cell in cells:
            if stop():
                raise _stopped(journal)
            journal.write({"cell": cell, "state": "begun"})
            yield cell, *_timed(compute, cell)
    finally:
        torch.set_num_threads(threads)


def _in_processes(
    compute: Compute,
    cells: Sequence[Cell],
    journal: Journal,
    processes: int,
    stop: Callable[[], bool],
) -> Results:
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads
    pool = ProcessPoolExecutor(processes, context, initializer=begin_worker)
    working: dict[Future[tuple[Found, float]], Cell] = {}
    waiting = list(reversed(cells))
    try:
        while waiting or working:
            try:
                while waiting and len(working) < processes:
                    cell = waiting[-1]
                    journal.write({"cell": cell, "state": "begun"})
                    working[pool.submit(_timed, compute, cell)] = waiting.pop()
                finished, _ = wait(working, POLL_SECONDS, FIRST_COMPLETED)
                results = {future: future.result() for future in finished}
            except BrokenProcessPool:
                # The pool does not say whose process it was.
                raise UserError(
                    f"a process was ended, perhaps for memory, in the midst of "
                    f"{'; '.join(map(_short, working.values()))}: the same command goes on, with "
                    f"fewer --processes"
                ) from None
            for future, result in results.items():
                yield working.pop(future), *result
            if stop():
                raise _stopped(journal)
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()  # cells that are still computed are computed anew
        pool.shutdown(wait=True, cancel_futures=True)


def begin_worker() -> None:
    """One thread for arithmetic; an end when the study's process has ended, however it did."""
    import torch

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def _timed(compute: Compute, cell: Cell) -> tuple[Found, float]:
    began = time.perf_counter()
    return compute(cell), time.perf_counter() - began


def _stopped(journal: Journal) -> Stopped:
    return Stopped(f"stopped; what was finished is in {journal.path}: the same command goes on")


def _short(cell: Cell) -> str:
    """What of a cell fits a line."""
    shown = {name: str(value) for name, value in cell.items() if _is_plain(value)}
    cut = {n: f"{text[:SHOWN]}..." if len(text) > SHOWN else text for n, text in shown.items()}
    return " ".join(f"{name}={text}" for name, text in cut.items())


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)
