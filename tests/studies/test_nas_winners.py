"""The study of what a search found: who is trained beside it, how large, and on what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import study, train
from core.errors import UserError
from studies.nas_winners import config_of, found_networks, nearest


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
    run, out = tmp_path / "run", tmp_path / "out"
    space = ["--space-options", "layers=3 filters=[16,24] heights=[1,3] widths=[3,5]"]
    results = search(run, *space, "--child-epochs", "0.5")
    text = (run / "journal.jsonl").read_text()
    for result in results:
        text = text.replace(f'"seconds": {result["seconds"]}', '"seconds": 1.0')
    (run / "journal.jsonl").write_text(text)
    argv = ["nas-winners", str(run), "--epochs", "1", "--seeds", "2", "--processes", "1"]
    assert study.main([*argv, "--out", str(out)]) == 0
    found = json.loads((out / "results.json").read_bytes())
    own, rival, residual, plain, lenet = found["rows"]
    assert own["parameters"] == best_of(results, rival=False)
    assert rival["parameters"] == best_of(results, rival=True)
    for row in (residual, plain):
        assert abs(row["parameters"] / own["parameters"] - 1) < 0.4, "widths are whole numbers"
        assert row["network"].split()[0] in ("resnet20", "plain20")
    assert lenet["network"] == "lenet5"
    for row in found["rows"]:
        assert len(row["scores"]) == 2 and all(0 < score <= 100 for score in row["scores"])
    assert any(row["scores"][0] != row["scores"][1] for row in found["rows"]), "seeds count"
    assert found["search_minutes"] == pytest.approx(4 / 60)
    page = (out / "page.md").read_text("utf-8")
    assert "2 seeds" in page and "| found by random search | " in page
    assert (out / "figure.png").stat().st_size > 1_000


def test_cells_stand_beside_lstm_and_gru(tmp_path: Path) -> None:
    run, out, text = tmp_path / "run", tmp_path / "out", tmp_path / "text.txt"
    text.write_text("the cat sat on the mat, and the dog sat on the cat. " * 100)
    search(run, "--space", "rnn", "--space-options", "leaves=4", "--data", str(text),
           "--reward", "inverse-perplexity",
           "--child-network", "width=12 layers=1", "--child-epochs", "1",
           "--child-context", "16")  # fmt: skip
    argv = ["nas-winners", str(run), "--quick", "--epochs", "50", "--processes", "1"]
    assert study.main([*argv, "--out", str(out)]) == 0
    found = json.loads((out / "results.json").read_bytes())
    assert found["score"] == "bits per character" and found["epochs"] == 0.5
    names = [row["name"] for row in found["rows"]]
    assert names == ["found by controller", "found by random search", "LSTM", "GRU"]
    lstm, gru = found["rows"][2:]
    assert (
        lstm["network"].startswith("lstm_small cell=lstm width=") and "layers=1" in lstm["network"]
    )
    assert gru["network"].startswith("lstm_small cell=gru width=")
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
    with pytest.raises(UserError, match="too few designs"):
        found_networks(str(tmp_path / "young"))
