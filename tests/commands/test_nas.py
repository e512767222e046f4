"""Architecture search from the command line: found, tested, killed at any moment and resumed."""

from __future__ import annotations

import json
import os
import signal
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.nas.journal import NAME
from commands.dispatch import main
from core.agent import Advanced
from core.files import checkpoint
from tasks.data.image_sets import load_images
from tasks.supervised import Supervised
from tests.commands.short_runs import PLAIN, one_line
from tests.commands.test_kills import start, wait

SMALL = ["--space-options", "layers=2 heights=[1,3] widths=[1,3] filters=[4,8]", "--data", "digits"]
SEARCH = ["train", "nas", *PLAIN, *SMALL]
NB201 = ["--space", "nb201", "--space-options", "", "--evaluator", "proxy"]
INSTANT = ["--evaluator", "proxy", "--proxy", "parameters", "--at-once", "0"]
OFTEN = ["--checkpoint-seconds", "0.1"]


def results(run: Path) -> list[dict[str, Any]]:
    """The journal's results by number, without their seconds."""
    lines = [json.loads(line) for line in (run / NAME).read_bytes().splitlines()]
    found = sorted((line for line in lines if "result" in line), key=lambda line: line["result"])
    return [{name: v for name, v in line.items() if name != "seconds"} for line in found]


def state_of(run: Path) -> dict[str, Any]:
    """What the newest checkpoint says of the search, its tensors as lists."""
    state = checkpoint.load(run).state

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(name): plain(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value.tolist() if hasattr(value, "tolist") else value

    found: dict[str, Any] = plain({name: state[name] for name in ("search", "network")})
    return found


def test_a_search_killed_at_any_moment_equals_one_that_was_not(tmp_path: Path) -> None:
    end = ["--total-steps", "40", "--evaluate-every", "0"]
    straight, run, errors = tmp_path / "straight", tmp_path / "run", tmp_path / "errors"
    assert main([*SEARCH, *INSTANT, *end, "--no-progress", "--run-dir", str(straight)]) == 0
    new = [*SEARCH, *INSTANT, *OFTEN, *end, "--run-dir", str(run)]
    for scored in (3, 30, 0):
        child = start(["resume", str(run)] if run.exists() else new, errors)
        if scored:
            wait(child, errors, lambda scored=scored: lines_of(run) >= scored)  # type: ignore[misc]
            child.kill()
        child.join()
    assert child.exitcode == 0, errors.read_text()
    assert results(run) == results(straight) and len(results(run)) == 80
    assert state_of(run) == state_of(straight)
    numbers = [line["result"] for line in results(run)]
    assert len(numbers) == len(set(numbers)), "a child was scored twice"


def lines_of(run: Path) -> int:
    """Results in the journal so far."""
    path = run / NAME
    return path.read_bytes().count(b'"result"') if path.exists() else 0


def test_designs_are_trained_found_and_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    few = ["--total-steps", "4", "--child-epochs", "0.3", "--retrain-epochs", "0.5",
           "--at-once", "0", "--test-seeds", "2"]  # fmt: skip
    assert main([*SEARCH, *few, "--no-progress", "--run-dir", str(run)]) == 0
    assert f"score it with: tengen evaluate {run}\n" in capsys.readouterr().err
    journal = results(run)
    best = max((line for line in journal if not line["rival"]), key=lambda line: line["reward"])
    assert all(line["status"] == "ok" for line in journal) and len(journal) == 8
    with Image.open(run / "search.png") as image:
        assert image.size[0] > 300
    shown = EventAccumulator(str(run)).Reload()  # however short a run was
    assert {"search", "best"} <= set(shown.Tags()["images"])
    assert "children" in shown.PluginTagToContent("text")
    design = json.loads((run / "best.json").read_text())
    assert main(["evaluate", str(run)]) == 0
    out = capsys.readouterr().out
    assert "test accuracy: " in out
    scores = json.loads((run / "scores.jsonl").read_text())
    assert scores["design"] == design and len(scores["found"]["each"]) == 2
    assert f"child {best['result']}" in out
    assert main(["resume", str(run), "--batch", "3"]) == 2
    assert "--batch" in one_line(capsys)
    with Image.open(run / "best.png") as image:
        assert len(image.convert("L").getcolors() or []) > 10

    out = tmp_path / "out"
    assert main(["export", str(run), str(out), "--best"]) == 0
    told = capsys.readouterr().out
    each = scores["found"]["each"][0]
    assert f"0.5 epochs of digits; on its test part: accuracy {each['accuracy']:.6g}" in told
    assert json.loads((out / "design.json").read_text()) == design
    assert exported_accuracy(out) == pytest.approx(each["accuracy"], abs=1e-9)
    assert main(["export", str(run), str(out)]) == 2
    assert "exists; name a new folder" in one_line(capsys)

    stopped = tmp_path / "stopped"
    stop_at_update(monkeypatch, 2)
    for command in (["evaluate", str(run)], ["export", str(run), str(stopped)]):
        assert main(command) == 130
    assert not stopped.exists() and len((run / "scores.jsonl").read_text().splitlines()) == 1


def exported_accuracy(folder: Path) -> float:
    """Of the exported module, shown the test part as inputs.json says."""
    spec = spec_from_file_location("found", folder / "model.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load(folder / "weights.safetensors")
    data, inputs = load_images("digits"), json.loads((folder / "inputs.json").read_text())
    assert inputs["classes"] == list(data.classes) and inputs["shape"] == list(data.shape)
    pixels = torch.as_tensor(data.test.pixels / 255, dtype=torch.float32)
    mean, deviation = (torch.tensor(inputs[name])[:, None, None] for name in ("mean", "deviation"))
    with torch.no_grad():
        classes = network((pixels - mean) / deviation).argmax(dim=1).numpy()
    return float((classes == data.test.labels).mean())


def stop_at_update(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have Ctrl-C come during an update; a third update more would be too late."""
    advance, made = Supervised.advance, 0

    def interrupted(agent: Supervised, agent_steps: int) -> Advanced:
        nonlocal made
        made = made + 1 if agent_steps else 1
        if made == number:
            os.kill(os.getpid(), signal.SIGINT)
        assert made <= number, "the training goes on"
        return advance(agent, agent_steps)

    monkeypatch.setattr(Supervised, "advance", interrupted)


def test_networks_of_the_registry_are_searched_among(tmp_path: Path) -> None:
    run = tmp_path / "run"
    zoo = ["--space", "zoo", "--space-options", 'kind="image"', "--data", "digits"]
    few = ["--total-steps", "2", "--batch", "1", "--no-progress", "--run-dir", str(run)]
    assert main(["train", "nas", *PLAIN, *zoo, *INSTANT, *few]) == 0
    assert [line["status"] for line in results(run)] == ["ok"] * 4
    assert json.loads((run / "best.json").read_text())["space"] == "zoo"
    assert (run / "best.png").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--space", "cnm"], "did you mean 'cnn'"),
        (["--space-options", "layers"], "--space-options are name=value"),
        (["--space-options", "depth=3"], "do not fit space cnn"),
        (["--latency-target", "0.1"], "needs --latency"),
        (["--evaluator", "table"], "is of space nb201, not of cnn"),
        (["--space", "zoo", "--space-options", 'kind="text"'], "must be image or language"),
        (["--space", "rnn", "--space-options", ""], "give --failure-reward -100, or --reward"),
        (["--space", "rnn", "--space-options", "", "--reward", "cube"], "cube is of accuracies"),
        (
            [*NB201, "--proxy", "jacov"],
            "a failure may not be worth more: give --failure-reward -1e",
        ),
        ([*NB201, "--latency-target", "1"], "--latency-target: of proxies no latency is known"),
        (
            [
                "--evaluator",
                "table",
                "--space",
                "macro",
                "--table",
                "macro-cifar10",
                "--space-options",
                "",
                "--latency-target",
                "1",
            ],
            "of table macro-cifar10 no latency is known",
        ),
        (
            [
                "--space",
                "rnn",
                "--space-options",
                "",
                "--failure-reward",
                "-100",
                "--latency",
                "--latency-target",
                "1",
            ],
            "give --reward inverse-perplexity with it",
        ),
        (["--child-network", 'design="x"'], "what the design is the search decides"),
        (["--child-network", "chanels=8"], "no option 'chanels'; did you mean 'channels'? (it has"),
        (["--child-network", "num_classes=3"], "no option 'num_classes' (it has: channels, cells)"),
        (["--child-network", "cells=1.5"], "--child-network: cells must be a whole number"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    run = ["--no-progress", "--run-dir", str(tmp_path / "run")]
    assert main(["train", "nas", *PLAIN, *options, *run]) == 2
    assert told in one_line(capsys)
    assert not (tmp_path / "run").exists()


DESIGN = {
    "space": "cnn",
    "layers": [{"height": 3, "width": 3, "filters": 4, "stride": [2, 2], "inputs": []}],
}


@pytest.mark.parametrize(
    "task",
    [
        ["classify", "--data", "digits", "--epochs", "0.2"],
        ["dqn", "--preset", "catch", "--evaluate-every", "0", "--total-steps", "300",
         "--warmup-steps", "200", "--lanes", "2"],
    ],
    ids=["classify", "dqn"],
)  # fmt: skip
def test_a_run_of_a_found_network_needs_its_file_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: list[str]
) -> None:
    file, run = tmp_path / "found.json", tmp_path / "run"
    file.write_text(json.dumps(DESIGN))
    new = ["train", *task, *PLAIN, "--network", f"designed:{file}", "--run-dir", str(run)]
    assert main([*new, "--no-progress"]) == 0
    file.unlink()
    assert str(file) not in (run / "config.toml").read_text()
    more = ["--epochs", "0.4"] if task[0] == "classify" else ["--total-steps", "400"]
    assert main(["resume", str(run), *more]) == 0
    capsys.readouterr()
    episodes = ["--episodes", "2"] if task[0] == "dqn" else []
    assert main(["evaluate", str(run), *episodes]) == 0
    if task[0] == "classify":
        assert ": classify, designed:cnn-" in capsys.readouterr().out
    assert main([*new, "--dry-run"]) == 2
    assert f"cannot read a design from {file}" in one_line(capsys)
