"""What the studies that train share: data, training, scores, and files of results."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.optimisers import build_optimiser
from studies.training import Clock, evaluate, load_parts, train, write_results


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Tiny batches are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
