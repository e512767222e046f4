"""Double descent and lottery tickets: their parts, and each study in its smallest form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands.study import main
from core.errors import UserError
from studies import double_descent, lottery_ticket
from studies.double_descent_cells import with_noise
from studies.lottery_ticket_cells import train
from studies.mnist1d import TEMPLATES, make
from studies.pruning import SparseNetwork, prune, remaining, shuffled


def test_mnist1d_tells_models_apart_as_published() -> None:
    """Greydanus 2020, table 1: 32 % for a linear model; guessing has 10 %."""
    from sklearn.linear_model import LogisticRegression

    inputs, labels = make(3_000, 42)
    assert inputs.shape == (3_000, 40) and inputs.dtype == np.float32
    assert (np.bincount(labels) == 300).all()
    inputs = (inputs - inputs.mean()) / inputs.std()
    linear = LogisticRegression(max_iter=200).fit(inputs[:2_400], labels[:2_400])
    assert 0.25 < linear.score(inputs[2_400:], labels[2_400:]) < 0.4
    assert TEMPLATES.shape == (10, 12)
    again, _ = make(50, 42)
    np.testing.assert_array_equal(again, make(3_000, 42)[0][:50])


def test_wrong_labels_are_wrong_and_as_many_as_asked_for() -> None:
    labels = torch.arange(10).repeat(400)
    noisy = with_noise(labels, 0.15, seed=1)
    assert 0.13 < float((noisy != labels).double().mean()) < 0.17
    assert torch.equal(noisy, with_noise(labels, 0.15, seed=1))
    assert not torch.equal(noisy, with_noise(labels, 0.15, seed=2))
    assert torch.equal(with_noise(labels, 0.0, seed=1), labels)


def curve(tests: list[float], trains: list[float]) -> list[dict[str, Any]]:
    return [
        {"width": 2**i, "test_error": test, "train_error": train}
        for i, (test, train) in enumerate(zip(tests, trains, strict=True))
    ]


@pytest.mark.parametrize(
    ("tests", "trains", "peak", "holds"),
    [
        ([0.5, 0.4, 0.5, 0.6, 0.5, 0.4], [0.5, 0.4, 0.2, 0.0, 0.0, 0.0], 8, True),
        ([0.5, 0.4, 0.41, 0.42, 0.41, 0.4], [0.5, 0.4, 0.2, 0.0, 0.0, 0.0], 8, False),  # too low
        ([0.5, 0.4, 0.6, 0.5, 0.4, 0.3], [0.5, 0.4, 0.3, 0.2, 0.1, 0.0], 4, False),  # far away
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1], [0.5, 0.4, 0.2, 0.0, 0.0, 0.0], 32, False),  # no peak
    ],
)
def test_the_verdict_on_a_curve(
    tests: list[float], trains: list[float], peak: int, holds: bool
) -> None:
    found = double_descent.verdict(curve(tests, trains))
    assert found["holds"] is holds
    if holds:
        assert found["peak_width"] == peak and found["above_left"] == pytest.approx(0.2)


def test_complexity_is_the_most_that_is_fitted() -> None:
    points = [
        {"width": 8, "examples": n, "train_error": error}
        for n, error in ((100, 0.0), (200, 0.04), (400, 0.2))
    ]
    points += [{"width": 4, "examples": 100, "train_error": 0.3}]
    assert double_descent.complexity(points) == {"8": 200, "4": None}


def test_pruning_takes_the_smallest() -> None:
    weights = [torch.tensor([[1.0, -2.0], [3.0, 0.5]]), torch.tensor([[0.1, 9.0], [-8.0, 7.0]])]
    whole = [torch.ones_like(w, dtype=torch.bool) for w in weights]
    together = prune(weights, whole, 0.5, "global")
    assert [m.int().tolist() for m in together] == [[[0, 0], [1, 0]], [[0, 1], [1, 1]]]
    apart = prune(weights, whole, 0.5, "layers")
    assert [m.int().tolist() for m in apart] == [[[0, 1], [1, 0]], [[0, 1], [1, 1]]]
    again = prune(weights, together, 0.25, "global")
    assert [m.int().tolist() for m in again] == [[[0, 0], [0, 0]], [[0, 1], [1, 1]]]
    assert remaining(again) == 3 / 8
    anywhere = shuffled(together, torch.Generator().manual_seed(1))
    assert [int(m.sum()) for m in anywhere] == [1, 3]


def test_a_sparse_network_computes_what_the_dense_one_does(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(5, 8, generator=generator), torch.randn(3, 5, generator=generator)]
    weights = [weight * (weight.abs() > 0.8) for weight in weights]
    biases = [torch.randn(5, generator=generator), torch.randn(3, generator=generator)]
    inputs = torch.randn(4, 8, generator=generator)
    dense = torch.relu(inputs @ weights[0].T + biases[0]) @ weights[1].T + biases[1]
    path = tmp_path / "ticket.safetensors"
    path.write_bytes(SparseNetwork(weights, biases).to_bytes())
    read = SparseNetwork.read(path)
    torch.testing.assert_close(read(inputs), dense)
    assert read.num_weights == sum(int((w != 0).sum()) for w in weights)
    content = bytearray(path.read_bytes())
    for broken in (content[:50], b"", b"\0" * 64):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="is not a sparse network"):
            SparseNetwork.read(path)


TINY_DENSE = {"network": "dense", "data": "digits", "scope": "global", "rewind": 0, "seed": 1,
              "examples": 200, "test": 100, "batch_size": 20, "learning_rate": 1e-3, "share": 0.5,
              "rounds": 2, "updates": 20, "device": "cpu"}  # fmt: skip


@pytest.mark.parametrize("rewind", [0, 5])
def test_what_is_pruned_stays_zero_and_the_rest_begins_where_it_did(rewind: int) -> None:
    from studies.lottery_ticket_cells import build, member, side_by_side

    cell = {**TINY_DENSE, "rewind": rewind}
    network = build(cell, [1])
    first = member(network, 0)
    rewound = train(network, cell, 0)
    same = all(torch.equal(a, b) for a, b in zip(first, rewound, strict=True))
    assert same == (rewind == 0)
    masks = prune(member(network, 0), [torch.ones_like(w, dtype=torch.bool) for w in first], 0.5,
                  "global")  # fmt: skip
    tickets = side_by_side(cell, [(rewound, masks)] * 2)
    train(tickets, cell, rewind)
    for weight, mask, before in zip(member(tickets, 1), masks, rewound, strict=True):
        assert not weight[~mask].any()
        assert (weight[mask] != before[mask]).any()


def test_both_studies_write_what_they_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = {"data": "mnist1d", "batch_size": 20, "learning_rate": 0.05, "test": 100,
            "seeds": [1, 2], "device": "cpu", "updates": 30}  # fmt: skip
    grid = {
        name: [{"width": w, "noise": noise, "examples": 100, **line} for w in (2, 8, 16)]
        for name, noise in (("noisy", 0.2), ("clean", 0.0), ("examples", 0.2))
    }
    image = {**line, "data": "digits", "noise": 0.2, "examples": 60}
    grid["cnn"] = [{"width": w, **image} for w in (1, 2, 3)]
    monkeypatch.setattr(double_descent, "cells_of", lambda options: grid)
    tickets = {"dense-global": [TINY_DENSE],
               "cnn-rewound": [{**TINY_DENSE, "network": "cnn", "rewind": 5, "rounds": 1}],
               "dqn": [{"network": "dqn", "scope": "global", "rewind": 0, "share": 0.5, "rounds": 1,
                        "steps": 40, "seed": 1, "device": "cpu"}]}  # fmt: skip
    monkeypatch.setattr(lottery_ticket, "cells_of", lambda options: tickets)
    for name in ("double-descent", "lottery-ticket"):
        out = tmp_path / name
        assert main([name, "--processes", "1", "--out", str(out)]) == 0
        first = (out / "results.json").read_bytes()
        assert "NaN" not in first.decode()
        assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
        assert "| " in (out / "page.md").read_text("utf-8")
        assert main([name, "--processes", "1", "--out", str(out)]) == 0
        assert (out / "results.json").read_bytes() == first
    assert "cells are in" in capsys.readouterr().out
    results = json.loads(first)
    assert results["curves"]["dense-global"]["remaining"] == [1.0, 0.5, 0.25]
    last = results["curves"]["dense-global"]["scores"]["ticket"][0][-1]
    assert results["exported"]["accuracy"] == pytest.approx(last, abs=0.011)


def test_intervals_are_students() -> None:
    from scipy import stats

    for values in ([1.0, 2.0], [0.3, 0.5, 0.1], list(range(10))):
        mean, half = lottery_ticket.interval(values)
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
        assert (mean - half, mean + half) == pytest.approx((low, high), abs=2e-4 * half)
    assert lottery_ticket.interval([0.5]) == (0.5, np.inf)


def test_the_grids_have_the_sizes_that_the_papers_ask_for() -> None:
    tickets = lottery_ticket.cells_of(lottery_ticket.Options())
    assert {name: len(cells) for name, cells in tickets.items()} == dict.fromkeys(tickets, 3)
    assert set(tickets) == set(lottery_ticket.GROUPS)
    cells = double_descent.cells_of(double_descent.Options())
    assert {c["noise"] for c in cells["noisy"]} == {0.15} and {
        c["noise"] for c in cells["clean"]
    } == {0.0}
    with pytest.raises(UserError, match="did you mean 'double-descent'"):
        main(["doubledescent"])
