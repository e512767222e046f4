"""What all benchmarks share."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import in_own_process

ROOT = Path(__file__).parents[2]


def busy() -> None:
    print("busy", flush=True)
    time.sleep(3600)


def test_a_killed_benchmark_leaves_nobody_busy() -> None:
    # Whoever is left holds the other end of the pipe, so that its end would not come.
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.test_common"], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"busy\n"
    process.kill()
    assert process.stdout.read() == b""
    process.wait()


if __name__ == "__main__":
    in_own_process(busy, limit_seconds=3600)
