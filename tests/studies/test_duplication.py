"""The duplication task: its texts, and the study in its smallest form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.errors import UserError
from networks.language.reformer import Reformer
from studies import duplication
from studies.duplication import EVALUATED, TRAINED, accuracy, draw, page, run, sizes, texts

CELL = {"hashes": 0, "length": 16, "symbols": 5, "chunk_length": 4, "seed": 1, "updates": 1}


def test_a_text_comes_twice_behind_zeros() -> None:
    batch = texts(50, CELL, torch.Generator().manual_seed(0))
    assert batch.shape == (50, 16) and not batch[:, 0].any()
    assert torch.equal(batch[:, :8], batch[:, 8:])
    assert batch[:, 1:8].min() == 1 and batch[:, 1:8].max() == 4


def test_the_second_half_counts() -> None:
    """A network that always says 1 tells the ones of the second half; chance is one in four."""
    network = Reformer(sizes(0, CELL))
    with torch.no_grad():
        network.output.bias.copy_(1000.0 * (torch.arange(5) == 1))
    batch = texts(256, CELL, torch.Generator().manual_seed(CELL["seed"] + 1))
    expected = float((batch[:, 9:] == 1).float().mean())
    assert accuracy(network, 0, CELL) == pytest.approx(expected) and 0.2 < expected < 0.3


def test_every_training_is_evaluated_with_every_number(tmp_path: Path) -> None:
    options = duplication.Options(
        length=16, symbols=5, updates=2, processes=1, out=str(tmp_path / "study")
    )
    results = run(options)
    lines = page(results)
    assert len(lines) == 2 + len(TRAINED) + 1 and lines[0].count("|") == len(EVALUATED) + 2
    draw(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 3000
    shares = results["shares"]["2 hashes"]
    told = [
        f"{shares[name]:.1%}" for name in ("full attention", "8 hashes", "4 hashes", "2 hashes")
    ]
    assert lines[4] == f"| 2 hashes | {' | '.join(told)} | {shares['1 hash']:.1%} |"
    with pytest.raises(UserError, match="--length 24 must be a multiple of four times --chunk"):
        run(duplication.Options(length=24, out=str(tmp_path)))
