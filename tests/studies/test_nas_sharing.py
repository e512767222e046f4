"""The study of shared weights: what is compared with what, and which designs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import study, train
from core.errors import UserError
from core.files.run_folder import RunFolder
from envs.architecture.spaces import make_space
from studies.nas_sharing import correlations, different, load, trained


def test_orders_are_compared_with_the_mean_of_two_trainings() -> None:
    # Means of the trainings: 0.2, 0.4, 0.3, 0.5; their own orders are 0 2 1 3 and 1 0 2 3.
    rows: list[dict[str, Any]] = [
        {"shared": 0.6, "parameters": 9, "alone": [0.1, 0.3]},
        {"shared": 0.8, "parameters": 7, "alone": [0.6, 0.2]},
        {"shared": 0.7, "parameters": 8, "alone": [0.2, 0.4]},
        {"shared": 0.9, "parameters": 6, "alone": [0.3, 0.7]},
    ]
    found = correlations(rows)
    assert found["shared weights"] == pytest.approx({"spearman": 1.0, "kendall": 1.0})
    assert found["number of parameters"] == pytest.approx({"spearman": -1.0, "kendall": -1.0})
    # Ranks 0 3 1 2 against 1 0 2 3: rho = 1 - 6 (1 + 9 + 1 + 1) / 60; pairs 3 alike, 3 not.
    expected = {"spearman": -0.2, "kendall": 0.0}
    assert found["one training with another"] == pytest.approx(expected)


def test_designs_are_different_networks() -> None:
    space = make_space("macro")
    found = list(different(space, 300, seed=1))
    assert len({space.canonical(tokens) for tokens in found}) == 300
    assert found == list(different(space, 300, seed=1)) != list(different(space, 300, seed=2))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs the folder"):
        load("")
    with pytest.raises(UserError, match="not the folder of a run"):
        load(str(tmp_path))
    assert not RunFolder(tmp_path).checkpoints.exists()


def test_a_run_is_scored_and_compared_design_by_design(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    argv = ["nas", "--preset", "enas-quick", "--run-dir", str(run), "--total-steps", "4"]
    argv += ["--batch", "2", "--child-network", "channels=1", "--shared-updates", "2"]
    argv += ["--shared-examples", "40", "--shared-candidates", "2", "--no-progress"]
    assert train.main([*argv, "--searcher", "random", "--no-compare"]) == 0
    argv = ["nas-sharing", str(run), "--quick", "--epochs", "1", "--processes", "1"]
    assert study.main([*argv, "--out", str(out)]) == 0
    found = json.loads((out / "results.json").read_bytes())
    assert found["epochs"] == 0.1
    assert len({tuple(row["tokens"]) for row in found["rows"]}) == 4
    shared = load(str(run))
    for row in found["rows"]:
        again = shared.score(shared.space.design(row["tokens"]), shared.validation_batches())
        assert again.metrics["score"] == row["shared"]
    assert any(row["alone"][0] != row["alone"][1] for row in found["rows"])
    assert "| shared weights | " in (out / "page.md").read_text("utf-8")
    assert (out / "figure.png").stat().st_size > 1_000


def test_designs_that_a_search_trained_are_compared_without_a_training(tmp_path: Path) -> None:
    shared, search, out = (tmp_path / name for name in ("shared", "search", "out"))
    space = ["--space", "cnn", "--space-options", "layers=2 filters=[2,4]", "--no-progress"]
    argv = ["nas", "--preset", "enas-quick", "--run-dir", str(shared), "--total-steps", "4", *space]
    argv += ["--batch", "2", "--shared-updates", "2", "--shared-examples", "40"]
    assert train.main([*argv, "--shared-candidates", "2", "--child-network", ""]) == 0
    argv = ["nas", "--preset", "quick", "--run-dir", str(search), "--total-steps", "4", *space]
    argv += ["--child-epochs", "0.2", "--batch", "2", "--at-once", "0"]
    assert train.main(argv) == 0
    argv = ["nas-sharing", str(shared), "--trained", str(search), "--processes", "1"]
    assert study.main([*argv, "--out", str(out)]) == 0
    found = json.loads((out / "results.json").read_bytes())
    lines = [json.loads(line) for line in (search / "journal.jsonl").read_bytes().splitlines()]
    scores = [[line["metrics"]["score"]] for line in lines if "result" in line]
    assert sorted(row["alone"] for row in found["rows"]) == sorted(scores) and len(scores) == 8
    assert "8 designs, trained from scratch for 0.2 epochs, once." in (out / "page.md").read_text()
    assert "one training" not in (out / "page.md").read_text()
    weights = load(str(shared))
    with pytest.raises(UserError, match="is no run of nas with --evaluator train"):
        trained(str(shared), weights)
    saved = (search / "config.toml").read_text()
    for option, other, told in (
        ("filters=[2,4]", "filters=[2,8]", "other --space or --space-options"),
        ('data = "digits"', 'data = "mnist5k"', "learns mnist5k, not digits"),
    ):
        assert option in saved
        (search / "config.toml").write_text(saved.replace(option, other))
        with pytest.raises(UserError, match=told):
            trained(str(search), weights)
    # Children that successive halving cut early were not trained to the end.
    (search / "config.toml").write_text(saved.replace("child_epochs = 0.2", "child_epochs = 0.4"))
    with pytest.raises(UserError, match="trained fewer than two designs"):
        trained(str(search), weights)
