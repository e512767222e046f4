"""`tengen resume [RUN]`: go on with a run; its folder is all that is needed."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.registry import AgentEntry
from commands.options import HELP, ResumeOptions, parse_overrides
from core.config import RunConfig
from core.errors import UserError
from core.files.run_folder import STATES, RunFolder
from core.machine import ranks
from core.report.progress import Progress

if TYPE_CHECKING:
    from core.report.progress import Callback

USAGE = """usage: tengen resume [RUN] [options]

Goes on exactly where the run was saved; without RUN, with the newest unfinished one in this folder
or in runs/. Any option of `tengen train` may follow to change it, if a resume may change it, such
as --total-steps or --device; and:

  --checkpoint NAME   from this checkpoint of the run instead of the newest
  --fresh-replay      with an empty replay memory
  --trust             load the archive of a stable-baselines3 run, which runs code that it contains
"""
PLACES = (".", "*", *("/".join([RunConfig().runs, *["*"] * depth]) for depth in range(1, 5)))
"""Where runs may lie, from here."""
MOST_FOLDERS = 10_000
ALONE = ("--fresh-replay", "--trust", "--progress", "--no-progress", "--video", "--no-video")
"""Options that have no value, or may have it before them."""


def main(argv: Sequence[str]) -> int:
    """Resume; return the exit code."""
    if argv and argv[0] in HELP:
        sys.stdout.write(USAGE)
        return 0
    with ranks.joined():
        if argv and not argv[0].startswith("-"):
            resume(Path(argv[0]), argv[1:])
            return 0
        if _ends_with_a_run(argv):
            resume(Path(argv[-1]), argv[:-1])
            return 0
        path = ranks.led(newest_unfinished)
        Progress().note(f"the newest unfinished run here: {path}")
        resume(path, argv)
    return 0


def _ends_with_a_run(argv: Sequence[str]) -> bool:
    """Whether options come first: the last word is a run, and no option's value."""
    if len(argv) < 2 or (argv[-2].startswith("--") and argv[-2] not in ALONE):
        return False
    try:
        return bool(argv[-1]) and (Path(argv[-1]) / "config.toml").is_file()
    except OSError:  # too long for a name
        return False


def resume(path: Path, argv: Sequence[str], callback: Callback | None = None) -> RunFolder:
    """Go on with a run, with the options of a command line on top; return its folder.

    Raises:
        UserError: one line; `--help` prints and exits instead.
    """
    from commands.session import resume_training

    def parse(entry: AgentEntry, saved: Any) -> tuple[Any, ResumeOptions]:
        return parse_overrides(saved, ResumeOptions(), argv, "tengen resume RUN")

    with ranks.joined():
        return resume_training(path, parse, callback)


def newest_unfinished() -> Path:
    """The run here that was alive last, apart from those that are finished or run elsewhere.

    Raises:
        UserError: there is none.
    """
    runs = sorted(_runs(), key=_last_alive, reverse=True)
    for run in runs:
        if run.read_status().get("state") != "finished" and not _in_use(run):
            return run.path
    if runs:
        busy = [f"{run.path} is in training" for run in runs if _in_use(run)]
        lengthen = [
            f"to lengthen a finished one: tengen resume {run.quoted} --total-steps N"
            for run in runs
            if run.read_status().get("state") == "finished"
        ]
        raise UserError("; ".join(["no run here waits to go on", *busy[:1], *lengthen[:1]]))
    raise UserError("there is no run here; name its folder: tengen resume RUN")


def _runs() -> Iterator[RunFolder]:
    for place in PLACES:
        for status in itertools.islice(Path().glob(f"{place}/status.json"), MOST_FOLDERS):
            run = RunFolder(status.parent)
            files = all((run.path / name).is_file() for name in ("config.toml", "meta.json"))
            if files and run.read_status().get("state") in STATES:
                yield run


def _last_alive(run: RunFolder) -> float:
    heartbeat = run.read_status().get("heartbeat")
    return heartbeat if isinstance(heartbeat, int | float) else 0.0


def _in_use(run: RunFolder) -> bool:
    try:
        run.lock()
    except UserError:
        return True
    run.unlock()
    return False
