"""What all benchmarks share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.common import in_own_process

ROOT = Path(__file__).parents[2]


def busy() -> None:
    print("busy", flush=True)
    time.sleep(3600)


def test_a_killed_benchmark_leaves_nobody_busy() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.test_common"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"busy\n"
        process.kill()
        # Whoever is left holds the other end of the pipe, so that its end would not come.
        assert process.communicate(timeout=120)[0] == b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    in_own_process(busy, limit_seconds=3600)
