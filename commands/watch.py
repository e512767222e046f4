"""`tengen watch`: TensorBoard for one run or a folder of runs, on this machine only."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.options import parse_dataclass, positional
from core.config import free
from core.errors import UserError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class WatchOptions:
    """Show runs in TensorBoard, reachable from this machine alone."""

    folder: str = positional("runs")
    """A run folder, or a folder of runs."""
    port: int = free(6006, at_least=1, at_most=65535)
    """Port on 127.0.0.1."""


def _logdir(folder: Path) -> tuple[str, str]:
    """Where TensorBoard looks. It would call a single run '.', told its name it adds that to it."""
    from core.files.run_folder import RunFolder

    name, events = folder.resolve().name, str(RunFolder(folder).events)
    if (folder / "status.json").exists() and not set(",:") & set(name + events):
        return "--logdir_spec", f"{name}:{events}"
    return "--logdir", str(folder)


def main(argv: Sequence[str]) -> int:
    """Become TensorBoard until it is stopped."""
    options = parse_dataclass(WatchOptions, argv, prog="tengen watch")
    folder = Path(options.folder)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; train something first, or name a run")
    # A run in its first seconds has a status and no events yet.
    marks = (folder.rglob("events.out.tfevents.*"), folder.rglob("status.json"))
    if all(next(found, None) is None for found in marks):
        raise UserError(f"{folder} holds no runs; name a run folder or the folder that runs are in")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, options.port))
        except OSError as error:
            raise UserError(
                f"port {options.port} is in use ({error.strerror}); try --port "
                f"{options.port + 1 if options.port < 65535 else 6007}"
            ) from error
    sys.stderr.write(f"http://{LOOPBACK}:{options.port}/   (Ctrl-C stops it)\n")
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        *_logdir(folder),
        "--host",
        LOOPBACK,
        "--port",
        str(options.port),
        "--reload_multifile",
        "true",
    ]
    # A packaged TensorBoard warns of a missing TensorFlow, which is not wanted here. It takes this
    # process over, so that it ends when this process is told to.
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    sys.stderr.flush()
    os.execve(sys.executable, command, environment)
