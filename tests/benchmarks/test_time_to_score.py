"""Scores against time: hours of contenders that went well outlast those that did not."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from benchmarks import time_to_score
from benchmarks.common import SkippedError
from benchmarks.time_to_score import Options, Point, TrainingClock, main
from core.config import check
from core.errors import UserError

POINT = Point(1.0, 64, -20.5, [-21.0, -20.0])


def run_main(argv: str, out: Path, outcomes: list[Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """Call `main`; each contender has the next outcome. The number of figures drawn."""
    left, drawn = iter(outcomes), []

    def outcome(*arguments: Any, limit_seconds: float) -> list[Point]:
        result: Any = next(left)
        if isinstance(result, BaseException):
            raise result
        return result  # type: ignore[no-any-return]

    monkeypatch.setattr("sys.argv", ["time_to_score", *shlex.split(argv), "--out", str(out)])
    monkeypatch.setattr(time_to_score, "in_own_process", outcome)
    monkeypatch.setattr(time_to_score, "draw", lambda *arguments: drawn.append(arguments))
    main()
    return len(drawn)


def test_a_contender_without_scores_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "scores.json"
    outcomes = [[POINT], [], SkippedError("no room"), [POINT, POINT]]
    assert run_main("", out, outcomes, monkeypatch) == 1
    written = json.loads(out.read_text())
    assert [len(runs) for runs in written["curves"].values()] == [1, 0, 0, 1]
    assert list(written["skipped"].values()) == [
        "its training ended before the first evaluation", "no room",
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "skipped: its training ended" in printed and printed.count("best  -20.50") == 2


def test_what_was_scored_is_written_before_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores.json"
    with pytest.raises(KeyboardInterrupt):
        run_main("--only zoo", out, [[POINT], KeyboardInterrupt()], monkeypatch)
    assert (
        json.loads(out.read_text())["curves"]["stable-baselines3 DQN, zoo"][0][0]["mean"] == -20.5
    )


def test_nothing_scored_leaves_older_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores.json"
    out.write_text("{}")
    with pytest.raises(SystemExit, match="no contender was scored"):
        run_main("--only PPO", out, [[]], monkeypatch)
    assert out.read_text() == "{}"


def test_earlier_results_are_printed_and_drawn_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = tmp_path / "earlier.json"
    run_main("--only PPO", earlier, [[POINT]], monkeypatch)
    capsys.readouterr()
    again = f"--only PPO {earlier}"
    assert run_main(again, tmp_path / "a.json", [[POINT, POINT]], monkeypatch) == 1
    assert capsys.readouterr().out.count("best  -20.50") == 2
    assert run_main(f"--rounds 0 {earlier}", tmp_path / "b.json", [], monkeypatch) == 1
    assert capsys.readouterr().out.count("best  -20.50") == 1
    assert not (tmp_path / "b.json").exists()
    with pytest.raises(SystemExit):
        run_main(f"--game Breakout {earlier}", tmp_path / "b.json", [], monkeypatch)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"evaluations": 0}, "--evaluations must be at least 1, got 0"),
        ({"rounds": -1}, "--rounds must be at least 0, got -1"),
        ({"rounds": 0}, "--rounds 0 trains nobody"),
        ({"beside": ("nosuch.json",)}, "nosuch.json holds no results"),
        ({"beside": ("pyproject.toml",)}, "pyproject.toml holds no results"),
        ({"only": "zzz"}, "--only 'zzz' is in no contender's name"),
        ({"settings": '"'}, "--settings '\"': No closing quotation"),
        ({"settings": "--lane 3"}, "there is no option --lane"),
        ({"agent": "nosuch"}, "there is no agent 'nosuch'"),
        ({"agent": "lm"}, "--agent lm plays no Atari games"),
        ({"game": "Pomg"}, "there is no Atari game 'ALE/Pomg-v5'; did you mean"),
        ({"protocol": "nosuch"}, "--protocol must be one of"),
        ({"out": "."}, "--out . is no file"),
        ({"out": "scores.png"}, "is where the figure goes"),
        ({"out": "/proc/tengen.json"}, "--out /proc/tengen.json"),
    ],
)
def test_wrong_arguments_are_one_line(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as raised:
        check(Options(**options))
    assert expected in str(raised.value) and "\n" not in str(raised.value)


def test_what_training_ended_with_is_scored_once() -> None:
    clock = TrainingClock(Options(seconds=1e9, evaluations=1))
    clock.evaluate = lambda agent_steps: [float(agent_steps)]
    assert not clock.tick(64) and not clock.tick(64)
    clock.end()
    clock.end()
    assert [(point.agent_steps, point.mean) for point in clock.points] == [(128, 128.0)]


def test_the_clock_scores_at_its_marks_and_says_when_the_time_is_over() -> None:
    clock = TrainingClock(Options(seconds=1e-9, evaluations=2))
    clock.evaluate = lambda agent_steps: [1.0, 2.0]
    assert clock.tick(64), "both marks have passed"
    clock.end()
    assert [(point.agent_steps, point.mean) for point in clock.points] == [(64, 1.5)]
