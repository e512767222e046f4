"""`tengen evaluate`: bounded episodes, results that are kept, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from commands.dispatch import main
from core.run_folder import RunFolder


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
