"""What the studies that train share, and each study in its smallest form."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.optimisers import build_optimiser
from studies.training import Clock, Part, evaluate, load_parts, train, write_results

TINY = "--data digits --train-images 48 --epochs 1"
NORM = f"{TINY} --batch-size 24 --rates 0.01 1e30 --seeds 1 2"
DECAY = "--rates 0.001 0.01 --l2-decays 0.1 --torch-decays 0.1 1 --paper-decays 0.1 --seeds 3"


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Tiny batches are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(name: str, arguments: str, folder: Path) -> dict[str, Any]:
    """The results of a study, whose picture must lie beside them."""
    out = folder / "inner" / "results.json"
    importlib.import_module(f"studies.{name}").main([*arguments.split(), "--out", str(out)])
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    text = out.read_text("utf-8")
    assert "NaN" not in text and str(folder) not in text
    results: dict[str, Any] = json.loads(text)
    assert results["seconds"] > 0 and results["processor_seconds"] > 0
    assert results["options"]["data"] == "digits" and "out" not in results["options"]
    assert results["environment"]["versions"]["torch"] == torch.__version__
    return results


def test_degradation(tmp_path: Path) -> None:
    sizes = "--test-images 20 --side 6 --shallow 1 --deep 2 --widths 2 3 4 --batch-size 24"
    errors = run("degradation", f"{TINY} {sizes}", tmp_path)["errors"]
    assert list(errors) == ["plain-8", "plain-14", "residual-8", "residual-14"]
    for curve in errors.values():
        assert len(curve["training"]) == len(curve["test"]) == 1
        assert 0 <= curve["test"][0] <= 1


def test_highway_depth(tmp_path: Path) -> None:
    grid = "--depths 2 3 --learning-rates 0.1 1e30 --gate-biases -2 -4 --batch-size 24"
    results = run("highway_depth", f"{TINY} {grid}", tmp_path)
    assert len(results["runs"]) == 2 * 2 * 2 * 2
    for kind in ("plain", "highway"):
        assert [row["depth"] for row in results["best"][kind]] == [2, 3]
        runs = [r for r in results["runs"] if r["kind"] == kind and r["loss"] is not None]
        for row in results["best"][kind]:
            assert row["loss"] == min(r["loss"] for r in runs if r["depth"] == row["depth"])


def test_batch_norm_rates(tmp_path: Path) -> None:
    results = run("batch_norm_rates", f"{NORM} --trains-from 0", tmp_path)
    assert results["highest_rate"] == {"without": 1e30, "with": 1e30}
    for rows in results["training_accuracy"].values():
        assert len(rows) == 2 and all(len(row) == 2 for row in rows)
    results = run("batch_norm_rates", f"{NORM} --network vgg --trains-from 1.1", tmp_path)
    assert results["highest_rate"] == {"without": None, "with": None}


def test_decoupled_decay(tmp_path: Path) -> None:
    results = run("decoupled_decay", f"{TINY} {DECAY} --test-images 20 --batch-size 24", tmp_path)
    assert list(results["kinds"]) == ["Adam with L2", "AdamW, torch", "AdamW, paper"]
    assert len(results["kinds"]["AdamW, torch"]["errors"][0]) == 2
    for kind in results["kinds"].values():
        assert len(kind["errors"]) == len(kind["best_decays"]) == 2
        assert kind["regret"] >= 0 and kind["spread_decades"] >= 0


def test_alignment_tells_a_valley_along_the_axis_from_an_oblique_one() -> None:
    module = importlib.import_module("studies.decoupled_decay")
    straight = torch.tensor([[0.3, 0.1, 0.3], [0.2, 0.1, 0.2]]).double().numpy()
    found = module.alignment(straight, (0.01, 0.1, 1.0))
    assert found["spread_decades"] == 0 and found["regret"] == 0 and found["one_decay"] == 0.1
    oblique = torch.tensor([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]).double().numpy()
    found = module.alignment(oblique, (0.01, 0.1, 1.0))
    assert found["best_decays"] == [0.01, 1.0]
    assert found["spread_decades"] == pytest.approx(2)
    assert found["regret"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("kind", "name", "factor"),
    [("Adam with L2", "adam", 0.03), ("AdamW, torch", "adamw", 0.03), ("AdamW, paper", "adamw", 3)],
)
def test_the_papers_decay_is_free_of_the_rate(
    kind: str, name: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("studies.decoupled_decay")
    asked: list[tuple[str, float]] = []

    def spy(
        optimiser: str, weights: Any, rate: float, epsilon: float, *, weight_decay: float
    ) -> Any:
        asked.append((optimiser, weight_decay))
        return build_optimiser(optimiser, weights, rate, epsilon, weight_decay=weight_decay)

    monkeypatch.setattr(module, "build_optimiser", spy)
    part = Part(torch.zeros(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64))
    options = module.Options(epochs=1, batch_size=4)
    module.error(kind, 0.01, 0.03, 1, (part, part), options)
    assert asked == [(name, pytest.approx(factor))]


def test_ode_net(tmp_path: Path) -> None:
    sizes = "--test-images 20 --side 12 --width 4 --batch-size 24 --tolerance 0.1"
    networks = run("ode_net", f"{TINY} {sizes}", tmp_path)["networks"]
    ode, residual = networks["ODE-Net"], networks["ResNet, 6 blocks"]
    assert ode["parameters"] < residual["parameters"]
    assert len(ode["test_errors"]) == 1 and len(ode["evaluations"]) == 2
    assert all(forwards > 0 and backwards > 0 for forwards, backwards in ode["evaluations"])
    assert residual["evaluations"] == [[0, 0], [0, 0]]


class Broken(nn.Module):
    """Outputs that are no numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        """nan [B, 10]"""
        return self.weight * torch.full((len(images), 10), math.nan)


def test_images_are_normalised_and_fit_the_side() -> None:
    part, test = load_parts("digits", 100, 30, "cpu")
    assert part.images.shape == (100, 1, 8, 8) and len(test) == 30
    assert float(part.images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(part.images.std()) == pytest.approx(1, abs=1e-5)
    padded, _ = load_parts("digits", 5, 5, "cpu", 11)
    assert padded.images.shape[2:] == (11, 11)
    assert (padded.images[:, :, 0] == padded.images.min()).all()
    assert load_parts("digits", 5, 5, "cpu", 4)[0].images.shape[2:] == (4, 4)


def test_training_learns_and_its_schedule_falls() -> None:
    part, _ = load_parts("digits", 300, 1, "cpu")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    optimiser = build_optimiser("sgd", network.parameters(), 0.1, 0.0, momentum=0.9)
    first, *_, last = train(network, optimiser, part, 8, 50, 1, "step")
    assert last.loss < first.loss and last.error < 0.05
    assert evaluate(network, part).error < 0.05
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.001)


def test_the_same_seed_trains_the_same() -> None:
    part, _ = load_parts("digits", 100, 1, "cpu")

    def once(seed: int) -> float:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        optimiser = build_optimiser("adam", network.parameters(), 0.01, 1e-8)
        return [score.loss for score in train(network, optimiser, part, 2, 30, seed)][-1]

    assert once(1) == once(1) != once(2)


def test_a_divergence_ends_the_training() -> None:
    part, _ = load_parts("digits", 60, 1, "cpu")
    network = Broken()
    optimiser = build_optimiser("sgd", network.parameters(), 0.1, 0.0)
    (score,) = train(network, optimiser, part, 5, 20, 1)
    assert math.isnan(score.loss)
    found = evaluate(network, part)
    assert math.isnan(found.loss)
    assert found.error == pytest.approx(float((part.labels != 0).float().mean()))


def test_results_are_strict_json(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Options:
        rate: float = math.inf
        out: Path = tmp_path

    write_results(tmp_path / "x" / "y.json", Options(), Clock(), {"losses": (1.0, math.nan)})
    results = json.loads((tmp_path / "x" / "y.json").read_text("utf-8"))
    assert results["losses"] == [1.0, None] and results["options"] == {"rate": None}
