"""`tengen evaluate`: bounded episodes, results that are kept, and what is said of them."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from commands.dispatch import main
from core.errors import UserError
from core.files.run_folder import RunFolder
from core.lanes import Step
from core.report.progress import EpisodeProgress
from envs.atari.protocol import AtariConfig
from envs.gymnasium.lanes import GymnasiumLanes
from envs.recording import filmable_lanes, frames_per_second


@pytest.fixture(scope="module")
def cliff(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on an environment without a time limit, whose policy never comes to an end."""
    path = tmp_path_factory.mktemp("runs") / "cliff"
    arguments = ["--env", "CliffWalking-v1", "--total-steps", "64", "--evaluate-every", "64"]
    bounds = ["--evaluate-episodes", "2", "--evaluate-max-steps", "30", "--no-progress"]
    assert main(["train", "q-learning", *arguments, *bounds, "--run-dir", str(path)]) == 0
    return RunFolder.open(path)


def test_an_episode_without_an_end_is_cut_counted_and_told(
    cliff: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (record,) = cliff.read_jsonl("evaluations.jsonl")
    assert record["evaluation/cut_episodes"] == 2
    events = EventAccumulator(str(cliff.events)).Reload()
    assert [event.value for event in events.Scalars("evaluation/cut_episodes")] == [2.0]
    out = tmp_path / "scores.json"
    arguments = ["--episodes", "3", "--max-steps", "40", "--out", str(out)]
    assert main(["evaluate", str(cliff.path), *arguments]) == 0
    result = json.loads(out.read_text())
    assert result["lengths"] == [40, 40, 40] and result["cut_episodes"] == 3
    assert "3 of them had not ended after 40 steps" in capsys.readouterr().out


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run evaluated twice, at 200 and 400 steps, of a world that cannot be filmed."""
    path = tmp_path_factory.mktemp("runs") / "grid"
    arguments = ["--env", "tengen/Grid", "--total-steps", "400", "--evaluate-every", "200"]
    more = ["--evaluate-episodes", "2", "--no-progress", "--run-dir", str(path)]
    assert main(["train", "q-learning", *arguments, *more]) == 0
    return RunFolder.open(path)


def scores(run: RunFolder) -> list[dict[str, Any]]:
    return run.read_jsonl("scores.jsonl")


def test_results_are_appended_and_one_episode_has_no_error(
    grid: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(scores(grid))
    assert main(["evaluate", str(grid.path), "--episodes", "4"]) == 0
    assert main(["evaluate", str(grid.path), "--episodes", "1"]) == 0
    assert [len(record["scores"]) for record in scores(grid)[before:]] == [4, 1]
    assert scores(grid)[-1]["summary"]["standard_error"] is None
    shown = capsys.readouterr().out
    assert "4 episodes: mean" in shown and "  1 episode: " in shown
    assert "±" not in shown.partition("1 episode: ")[2]
    out = tmp_path / "both.jsonl"
    both = [str(grid.path), str(grid.path), "--episodes", "2", "--out", str(out)]
    assert main(["evaluate", *both]) == 0
    assert len(out.read_text().splitlines()) == 2 and len(scores(grid)) == before + 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["nosuch"], "nosuch is not the folder of a run"),
        (["--out", "nosuch/file.jsonl"], "there is no folder for --out nosuch/file.jsonl"),
    ],
)
def test_a_mistake_is_said_before_the_first_episode(
    grid: RunFolder, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    before = len(scores(grid))
    assert main(["evaluate", str(grid.path), *more]) == 2
    assert said in capsys.readouterr().err and len(scores(grid)) == before


def test_the_newest_checkpoint_is_scored_and_the_best_is_called_so(
    grid: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(grid.path), "--episodes", "1"]) == 0
    shown = capsys.readouterr().out
    newest = grid.read_status()["agent_steps"]
    assert f"at {newest} agent steps: tengen/Grid" in shown
    assert main(["evaluate", str(grid.path), "--episodes", "1", "--checkpoint", "best"]) == 0
    assert ", best of 2 evaluations): tengen/Grid" in capsys.readouterr().out


def test_scores_survive_a_film_that_fails(
    grid: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(scores(grid))
    assert main(["evaluate", str(grid.path), "--episodes", "2", "--video"]) == 2
    said = capsys.readouterr()
    assert "2 episodes: mean" in said.out
    assert "no video: tengen/Grid has nothing to see" in said.err

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("the drawing failed")

    monkeypatch.setattr("envs.recording.film_episode", broken)
    assert main(["evaluate", str(grid.path), "--episodes", "2", "--video"]) == 2
    said = capsys.readouterr()
    assert "2 episodes: mean" in said.out
    assert "no video: ZeroDivisionError: the drawing failed" in said.err.splitlines()[-1]
    assert len(scores(grid)) == before + 2


def test_an_environment_that_fails_late_costs_no_score_before(
    cliff: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ticks = 0
    real = GymnasiumLanes.receive

    def receive(lanes: GymnasiumLanes) -> Step:
        nonlocal ticks
        ticks += 1
        if ticks == 60:
            raise UserError("CliffWalking-v1, lane 0, step 60: the cliff broke")
        return real(lanes)

    monkeypatch.setattr(GymnasiumLanes, "receive", receive)
    out = tmp_path / "scores.json"
    out.write_text('{"mine": 1}')  # without a newline at its end
    arguments = ["--episodes", "3", "--lanes", "1", "--max-steps", "40", "--out", str(out)]
    assert main(["evaluate", str(cliff.path), *arguments]) == 2
    output = capsys.readouterr()
    assert "the cliff broke" in output.err and "1 episode" in output.out
    mine, kept = map(json.loads, out.read_text().splitlines())
    assert mine == {"mine": 1} and kept["lengths"] == [40] and kept["episodes_wanted"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_played(
    number: signal.Signals,
    grid: RunFolder,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def show(self: EpisodeProgress, finished: int, steps: int) -> None:
        if finished == 3:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(EpisodeProgress, "show", show)
    run = [str(grid.path), str(grid.path)]
    before = len(scores(grid))
    assert main(["evaluate", *run, "--episodes", "9", "--lanes", "1"]) == 130
    assert "stopped after 3 of 9 episodes: short ones are over-" in capsys.readouterr().out
    assert len(scores(grid)) == before + 1
    assert len(scores(grid)[-1]["scores"]) == 3 and scores(grid)[-1]["episodes_wanted"] == 9


def test_a_folder_that_cannot_be_written_keeps_the_score_on_the_screen(
    grid: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, line: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("core.files.atomic.append_line", full)
    assert main(["evaluate", str(grid.path), "--episodes", "2"]) == 0
    said = capsys.readouterr()
    assert "2 episodes: mean" in said.out
    assert "could not be written" in said.err and "--out FILE keeps it" in said.err


def test_what_came_with_the_application_is_not_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    box = Path(__file__).resolve().parents[2] / "pretrained" / "pqn-pong"
    before = sorted(box.rglob("*"))
    arguments = ["--episodes", "1", "--max-steps", "3"]
    assert main(["evaluate", "pretrained/pqn-pong", *arguments]) == 0
    assert sorted(box.rglob("*")) == before
    assert "--out FILE keeps the result" in capsys.readouterr().err


def test_progress_says_how_far_and_how_long_still(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("core.report.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = EpisodeProgress(10, stream)
    progress.show(4, 100)
    assert stream.getvalue() == "", "the first second is not worth a line"
    now[0] += 8
    progress.show(4, 100)
    assert stream.getvalue() == "4/10 episodes  100 steps  12 steps/s  12s left\n"


class TenFramesASecond(gymnasium.Env[np.ndarray, int]):
    """Something to film, which says how fast it is."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode


def test_a_film_runs_as_fast_as_its_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    gymnasium.register("TenFramesASecond-v0", TenFramesASecond)
    lanes = filmable_lanes("TenFramesASecond-v0", AtariConfig())
    assert frames_per_second("TenFramesASecond-v0", lanes) == 10


def test_a_window_shows_an_episode_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pygame: Any = pytest.importorskip("pygame")
    run = str(tmp_path / "run")
    argv = ["--preset", "catch", "--total-steps", "8", "--evaluate-every", "0", "--threads", "1"]
    fixed = ["--precision", "fp32", "--no-progress", "--run-dir", run]
    assert main(["train", "dqn", *argv, *fixed]) == 0
    shown: list[tuple[int, int]] = []
    flip = pygame.display.flip

    def record() -> None:
        shown.append(pygame.display.get_surface().get_size())
        flip()

    monkeypatch.setattr(pygame.display, "flip", record)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert main(["evaluate", run, "--render", "--episodes", "2"]) == 0
    assert len(shown) == 12 and min(min(shown)) >= 480, "Catch lasts eleven steps"
    assert "2 episodes: mean" in capsys.readouterr().out

    def close() -> None:
        record()
        pygame.event.post(pygame.event.Event(pygame.QUIT))

    monkeypatch.setattr(pygame.display, "flip", close)
    assert main(["evaluate", run, "--render", "--episodes", "2"]) == 0
    assert len(shown) == 13, "a closed window ends the watching, not the scoring"
    capsys.readouterr()
    for driver, chosen in (("no-such-driver", "x11"), ("dummy", "offscreen")):
        monkeypatch.setenv("SDL_VIDEODRIVER", driver)
        monkeypatch.setattr(pygame.display, "get_driver", lambda chosen=chosen: chosen)
        assert main(["evaluate", run, "--render", "--episodes", "2"]) == 2
        said = capsys.readouterr()
        assert said.out == "" and "film with --video" in said.err.splitlines()[-1]
