"""Short runs of DQN on tengen/Catch, and what they said in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.dispatch import main

PLAIN = ["--threads", "1", "--precision", "fp32", "--no-video", "--device", "cpu"]
TRAIN = ["train", "dqn", "--preset", "catch", *PLAIN, "--evaluate-every", "0"]


def run_quietly(run: Path, *more: str) -> int:
    """Train in a folder; the exit code."""
    return main([*TRAIN, "--no-progress", "--run-dir", str(run), *more])


def one_line(captured: pytest.CaptureFixture[str]) -> str:
    """The error that the command printed, which must be one line."""
    lines = [x for x in captured.readouterr().err.splitlines() if x.startswith("tengen: error:")]
    assert len(lines) == 1
    return lines[0]


class Killed(BaseException):
    """Stands for the death of the process."""


def die(*arguments: object, **options: object) -> None:
    """Takes the place of a function in which the process dies."""
    raise Killed
