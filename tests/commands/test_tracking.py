"""`--track`, against a stand-in for wandb that writes down how it is called."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from commands.dispatch import main
from core.files.run_folder import RunFolder

STAND_IN = """
import json, os

run = None


def tell(**facts):
    with open(os.environ["STAND_IN_CALLS"], "a") as file:
        file.write(json.dumps(facts) + "\\n")


class Run:
    def __init__(self, id):
        self.id = id

    def define_metric(self, name, step_metric=None):
        tell(call="define", name=name, step_metric=step_metric)

    def log(self, values):
        tell(call="log", values=values)
        if os.environ.get("STAND_IN_BREAKS"):
            raise RuntimeError("gone")

    def finish(self, exit_code):
        global run
        run = None
        tell(call="finish", exit_code=exit_code)


def init(id, dir, **options):
    global run
    if os.environ.get("STAND_IN_REFUSES"):
        raise RuntimeError("api_key not\\nconfigured")
    os.makedirs(f"{dir}/wandb", exist_ok=True)
    tell(call="init", id=id, dir=dir, **options)
    run = Run(id or "abc123")
    return run
"""

SHORT = ["--device", "cpu", "--threads", "1", "--precision", "fp32", "--no-progress"]
AGENTS = {
    "q-learning": ["--lanes", "4"],
    "sb3-ppo": ["--env", "tengen/Catch", "--lanes", "4", "--n-steps", "16", "--batch-size", "32"],
}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the stand-in writes its calls to."""
    (tmp_path / "wandb.py").write_text(STAND_IN, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.setenv("STAND_IN_CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def told(calls: Path) -> list[dict[str, Any]]:
    """The calls since the last time."""
    found = [json.loads(line) for line in calls.read_text("utf-8").splitlines()]
    calls.unlink()
    return found


def train(agent: str, folder: Path, *more: str) -> int:
    options = [*SHORT, *AGENTS[agent], "--total-steps", "128", "--evaluate-every", "128"]
    return main(["train", agent, *options, "--run-dir", str(folder), "--track", *more])


@pytest.mark.parametrize("agent", AGENTS)
def test_a_run_is_tracked_and_goes_on_under_its_id(agent: str, tmp_path: Path, calls: Path) -> None:
    folder = tmp_path / "my-run"
    assert train(agent, folder) == 0
    started, *rest = told(calls)
    assert started["call"] == "init"
    wanted = {"project": "tengen", "name": "my-run", "id": None, "dir": str(folder)}
    assert wanted.items() <= started.items()
    assert started["config"]["run.total_steps"] == 128 and started["config"]["lanes"] == 4
    defined = [(call["name"], call["step_metric"]) for call in rest if call["call"] == "define"]
    assert defined == [("agent_steps", None), ("*", "agent_steps")]
    assert rest[-1] == {"call": "finish", "exit_code": 0}
    sent = [call["values"] for call in rest if call["call"] == "log"]
    run = RunFolder.open(folder)
    points = [values for values in sent if "evaluation/mean" not in values]
    for point, record in zip(points, run.read_jsonl("metrics.jsonl"), strict=True):
        assert point.items() <= record.items()
    (scored,) = [values for values in sent if "evaluation/mean" in values]
    (record,) = run.read_jsonl("evaluations.jsonl")
    assert (scored["agent_steps"], scored["evaluation/mean"]) == (128, record["mean"])
    assert RunFolder.open(folder).read_meta()["wandb_id"] == "abc123"

    trust = ["--trust"] if agent == "sb3-ppo" else []
    assert main(["resume", str(folder), "--total-steps", "256", *trust]) == 0
    again = told(calls)[0]
    assert (again["call"], again["id"]) == ("init", "abc123")
    assert main(["resume", str(folder), "--total-steps", "384", "--no-track", *trust]) == 0
    assert not calls.exists()


def test_a_failure_is_one_there_too(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr("agents.tabular.agent.TabularQLearning.observe", fail)
    with pytest.raises(RuntimeError, match="no more"):
        train("q-learning", tmp_path / "run")
    assert told(calls)[-1] == {"call": "finish", "exit_code": 1}


def test_training_goes_on_when_wandb_breaks(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_BREAKS", "yes")
    assert train("q-learning", tmp_path / "run") == 0
    assert [call["call"] for call in told(calls)][-2:] == ["log", "finish"]


def test_what_wandb_refuses_is_one_line_and_leaves_no_folder(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAND_IN_REFUSES", "yes")
    assert train("q-learning", tmp_path / "run") == 2
    assert (
        "wandb cannot start: api_key not configured; try `wandb login`" in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("leftover", [False, True], ids=["absent", "a folder of that name"])
def test_without_wandb_one_line_says_what_to_install(
    leftover: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    if leftover:
        (tmp_path / "wandb").mkdir()
        monkeypatch.syspath_prepend(str(tmp_path))
    else:
        monkeypatch.setitem(sys.modules, "wandb", None)
    assert train("q-learning", tmp_path / "run") == 2
    assert "--track needs wandb: pip install wandb" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
