"""The study of what a search found: who is trained beside it, how large, and on what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.nas.build import retrained
from agents.nas.config import PRESETS, NASConfig
from agents.nas.training import ChildTrainer
from commands import study, train
from core.config import resolve
from core.errors import UserError
from core.learner import Arithmetic
from core.seeds import derived_seed
from studies.grid import key
from studies.nas_winners import (
    Entrant,
    Options,
    _cell,
    config_of,
    found_networks,
    nearest,
    page,
    run,
)


def test_the_width_is_that_whose_size_is_nearest() -> None:
    def cubes(width: int) -> int:
        return width**3

    assert [nearest(cubes, target) for target in (1, 3, 5, 27, 45, 46, 10**6)] == [
        1, 1, 2, 3, 3, 4, 100,
    ]  # fmt: skip
    assert nearest(lambda width: 7 + width, 3) == 1, "none is small enough"


def search(folder: Path, *options: str) -> list[dict[str, Any]]:
    """A search of four designs, and four of random search; the results."""
    argv = ["nas", "--preset", "quick", "--run-dir", str(folder), "--total-steps", "4"]
    argv += ["--batch", "2", "--at-once", "0", "--no-progress", *options]
    assert train.main(argv) == 0
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]
    return [line for line in lines if "result" in line]


def best_of(results: list[dict[str, Any]], rival: bool) -> float:
    """Parameters of the design with the highest reward; of equals the first."""
    side = sorted((r for r in results if r["rival"] == rival), key=lambda r: r["result"])
    return max(side, key=lambda r: r["reward"])["metrics"]["parameters"]  # type: ignore[no-any-return]


def test_found_networks_stand_beside_networks_of_their_size(tmp_path: Path) -> None:
    # As if no child took longer than another: what is best is best at equal time, too.
    folder, out = tmp_path / "run", tmp_path / "out"
    space = ["--space-options", "layers=3 filters=[16,24] heights=[1,3] widths=[3,5]"]
    results = search(folder, *space, "--child-epochs", "0.5")
    assert not any(result["cached"] for result in results)
    journal = folder / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    alike = [{**line, "seconds": 1.0} if "result" in line else line for line in lines]
    journal.write_text("".join(json.dumps(line) + "\n" for line in alike))
    argv = ["nas-winners", str(folder), "--epochs", "1", "--seeds", "2", "--processes", "1"]
    assert study.main([*argv, "--out", str(out)]) == 0
    found = json.loads((out / "results.json").read_bytes())
    own, rival, residual, plain, lenet = found["rows"]
    assert own["parameters"] == best_of(results, rival=False)
    assert rival["parameters"] == best_of(results, rival=True)
    for row in (residual, plain):
        assert abs(row["parameters"] / own["parameters"] - 1) < 0.4, "widths are whole numbers"
    assert lenet["network"] == "lenet5"
    designs = [json.loads(row["network"].removeprefix("designed:")) for row in (own, rival)]
    assert designs[0] == json.loads((folder / "best.json").read_bytes()) != designs[1]
    for row in found["rows"]:
        assert len(row["scores"]) == 2 and all(0 < score <= 100 for score in row["scores"])
    assert any(row["scores"][0] != row["scores"][1] for row in found["rows"]), "seeds count"
    assert found["search_minutes"] == pytest.approx(4 / 60)
    text = (out / "page.md").read_text("utf-8")
    assert "2 seeds" in text and "| found by random search | " in text
    assert (out / "figure.png").stat().st_size > 1_000
    as_the_search_tests(folder, own["network"].removeprefix("designed:"), own["scores"][0])


def as_the_search_tests(run: Path, design: str, score: float) -> None:
    """The search's own test of the design, with the study's seed, comes to this score."""
    config = retrained(config_of(str(run)), "cpu", 1.0)
    trainer = ChildTrainer(config.children, False, Arithmetic())
    seed = derived_seed(config.run.seed, "winners", 1)
    tested = trainer.test(json.loads(design), [seed], lambda: False)
    assert tested is not None and 100 * tested[0].scores["accuracy"] == score


def test_a_cell_says_all_that_decides_a_training(tmp_path: Path) -> None:
    lenet = Entrant("LeNet-5", "lenet5")
    config = resolve(NASConfig, PRESETS["quick"][1])
    same = replace(config, children=replace(config.children, at_once=0, child_seconds=9.0))
    children = [{"data": "mnist5k"}, {"child_learning_rate": 0.1}, {"child_epochs": 9.0}]
    others = [replace(config, children=replace(config.children, **change)) for change in children]
    others.append(replace(config, run=replace(config.run, precision="bf16")))
    others.append(replace(config, run=replace(config.run, seed=2)))
    cell = _cell(config, lenet, 1)
    assert cell == _cell(same, lenet, 1)
    assert all(_cell(other, lenet, 1) != cell for other in others)


def test_a_design_that_both_found_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tmp_path / "run", "--child-epochs", "0.1")
    spent, (own, rival) = found_networks(str(tmp_path / "run"))
    both = [own, replace(rival, network=own.network)]
    monkeypatch.setattr("studies.nas_winners.found_networks", lambda run: (spent, both))
    monkeypatch.setattr("studies.nas_winners.made_by_hand", lambda *_: [])
    trained = iter([{"score": 50.0, "parameters": 9}, {"score": None, "parameters": 9}])
    monkeypatch.setattr(
        "studies.nas_winners.run_grid", lambda _, cells, *__: {key(c): next(trained) for c in cells}
    )
    results = run(Options(str(tmp_path / "run"), seeds=2))
    assert [row["scores"] for row in results["rows"]] == [[50.0, None]] * 2
    assert "| found by random search | 9 | 50; 1 diverged |" in page(results)


def test_cells_stand_beside_lstm_and_gru(tmp_path: Path) -> None:
    folder, out, text = tmp_path / "run", tmp_path / "out", tmp_path / "text.txt"
    text.write_text("the cat sat on the mat, and the dog sat on the cat. " * 100)
    search(folder, "--space", "rnn", "--space-options", "leaves=4", "--data", str(text),
           "--reward", "inverse-perplexity",
           "--child-network", "width=12 layers=1", "--child-epochs", "1",
           "--child-context", "16")  # fmt: skip
    argv = ["nas-winners", str(folder), "--quick", "--epochs", "50", "--processes", "1"]
    assert study.main([*argv, "--out", str(out)]) == 0
    found = json.loads((out / "results.json").read_bytes())
    assert found["score"] == "bits per character" and found["epochs"] == 0.5
    names = [row["name"] for row in found["rows"]]
    assert names == ["found by controller", "found by random search", "LSTM", "GRU"]
    lstm, gru = found["rows"][2:]
    assert lstm["options"].startswith("cell=lstm width=") and "layers=1" in lstm["options"]
    assert gru["options"].startswith("cell=gru width=")
    for row in (lstm, gru):
        assert abs(row["parameters"] / found["rows"][0]["parameters"] - 1) < 0.1


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs the folder of a run of nas"):
        config_of("")
    with pytest.raises(UserError, match="not the folder of a run"):
        config_of(str(tmp_path))
    search(tmp_path / "alone", "--child-epochs", "0.1", "--no-compare")
    with pytest.raises(UserError, match="--evaluator train and --compare"):
        config_of(str(tmp_path / "alone"))
    search(tmp_path / "young", "--child-epochs", "0.1")
    (tmp_path / "young" / "journal.jsonl").write_text("")
    with pytest.raises(UserError, match="no designs to compare"):
        found_networks(str(tmp_path / "young"))
