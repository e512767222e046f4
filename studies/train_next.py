"""Goes on with a long run: the first of docs/results/runs.toml whose target is not met.

    python -m studies.train_next                          until it ends, or a signal stops it
    python -m studies.train_next --gpu --seconds 480      a stretch on a machine that is lent

A run that lies in `runs/long` is resumed. Where it does not, as on a new machine, a run begins with
the weights of `pretrained/NAME`. What was reached is exported beside it, small enough to be kept:
weights, curves and the speed. Only a person moves an export to `pretrained/`, after a match or an
evaluation that says so.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from commands.options import parse_program

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("config.toml", "metrics.jsonl", "evaluations.jsonl")
PATIENCE = 120
"""Seconds that a run may take to save and end."""


@dataclass(frozen=True)
class Options:
    """Train the first long run that has not met its target, or one by name."""

    name: str = ""
    """Of a run; default: the first whose target is not met."""
    seconds: float = 0.0
    """Stop after so long; 0: when it ends."""
    gpu: bool = False
    """With the run's options for a GPU, and at full priority."""
    queue: str = ""
    """The list of runs; default: docs/results/runs.toml beside the code."""
    runs: str = "runs/long"
    """Where run folders lie."""
    out: str = "runs/long/exports"
    """Where what was reached goes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train, export, say what was reached; return the exit code of the training."""
    options = parse_program(Options, "python -m studies.train_next", argv)
    queue = Path(options.queue or ROOT / "docs" / "results" / "runs.toml")
    runs = Path(options.runs)
    if not queue.is_file():
        raise SystemExit(f"error: there is no list of runs {queue}")
    run = choose(tomllib.loads(queue.read_text("utf-8"))["run"], options.name)
    folder = runs / run["name"]
    runs.mkdir(parents=True, exist_ok=True)
    command = command_for(run, folder, options.gpu)
    print(f"{run['name']}: {run['target']}\n{shlex.join(command)}\nlog: {folder}.log", flush=True)
    if not options.gpu:
        os.nice(19)  # behind all other work
    code = train(command, Path(f"{folder}.log"), options.seconds)
    if not folder.exists():  # a start that fails leaves none
        print(Path(f"{folder}.log").read_text("utf-8").splitlines()[-1], file=sys.stderr)
        return code or 1
    export(folder, Path(options.out))
    return code


def choose(runs: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """The run of that name, or the first whose target is not met."""
    for run in runs:
        if run["name"] == name or (not name and not run["met"]):
            return run
    raise SystemExit(f"no run {name!r} in the list" if name else "every target is met")


def command_for(run: dict[str, Any], folder: Path, gpu: bool) -> list[str]:
    """What goes on with a run: resume it, or begin with what was kept of it."""
    tengen = [sys.executable, "-m", "tengen"]
    if folder.exists():
        return [*tengen, "resume", str(folder)]
    weights = ROOT / "pretrained" / run["name"]
    initial = ["--initial", str(weights)] if weights.exists() else []
    more = shlex.split(run["gpu"]) if gpu else []
    train = shlex.split(run["train"])
    return [*tengen, "train", *train, *more, *initial, "--run-dir", str(folder)]


def train(command: Sequence[str], log: Path, seconds: float) -> int:
    """Run until it ends, a signal comes or the time is over; the run saves before it ends."""
    with log.open("a", encoding="utf-8") as lines:
        process = subprocess.Popen(
            command, stdout=lines, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.send_signal(signal.SIGTERM))
    with suppress(subprocess.TimeoutExpired):
        return process.wait(seconds or None)
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        return process.wait(PATIENCE)
    process.kill()  # its last checkpoint stands
    return process.wait()


def export(folder: Path, out: Path) -> None:
    """The newest weights and the curves of a run, in a folder named by its steps."""
    status = json.loads((folder / "status.json").read_text("utf-8"))
    target = out / f"{folder.name}-{status['agent_steps']}"
    if not target.exists():
        command = [sys.executable, "-m", "tengen", "export", str(folder), str(target)]
        subprocess.run([*command, "--checkpoint", "newest"], check=True)
    for name in KEPT:
        if (folder / name).exists() and not (target / name).exists():
            copyfile(folder / name, target / name)
    rows = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    speeds = [json.loads(row).get("speed/agent_steps_per_second", 0.0) for row in rows]
    print(f"{target}: {status['state']} at {status['agent_steps']:,} steps, up to "
          f"{max(speeds, default=0.0):,.0f} steps/s")  # fmt: skip
    if status["state"] == "finished":
        print("all its steps are made: note in the list what was reached, and whether that is the "
              "target; or give it more steps with tengen resume")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
