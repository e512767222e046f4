"""GloVe against slow versions from the paper's equations, and against mittens' objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.errors import UserError
from networks.language.glove import (
    Arrays,
    Cells,
    GloVe,
    GloVeConfig,
    build,
    count_pairs,
    learn_cells,
)

WORDS, WIDTH, RATE = 7, 5, 0.05


def text() -> tuple[np.ndarray, np.ndarray]:
    """Sentences of several lengths."""
    words = np.random.default_rng(0).integers(0, WORDS, 400).astype(np.int32)
    return words, np.array([0, 3, 5, 40, 42, 200, 207, 400])


def slow_counts(window: int) -> np.ndarray:
    """X, float64 [V, V], by its definition."""
    words, bounds = text()
    matrix = np.zeros((WORDS, WORDS))
    for first, last in zip(bounds[:-1], bounds[1:], strict=True):
        for i in range(first, last):
            for j in range(first, last):
                if i != j and abs(i - j) <= window:
                    matrix[words[i], words[j]] += 1 / abs(i - j)
    return matrix


def arrays(model: GloVe) -> Arrays:
    """The model's memory."""
    return Arrays(*(parameter.detach().numpy() for parameter in model.parameters()))


def model_and_cells() -> tuple[GloVe, Cells]:
    """Some counts on both sides of 100."""
    torch.manual_seed(0)
    model = GloVe(GloVeConfig(WORDS, WIDTH))
    rows, columns = np.divmod(np.random.default_rng(1).permutation(49)[:30], WORDS)
    counts = np.random.default_rng(2).uniform(0.5, 250, 30)
    return model, Cells(rows.astype(np.int32), columns.astype(np.int32), counts)


@pytest.mark.parametrize("pairs_at_once", [1, 500, 10**6])
@pytest.mark.parametrize("window", [1, 4])
def test_pairs_are_counted_by_their_distance(window: int, pairs_at_once: int) -> None:
    cells = count_pairs(*text(), WORDS, window, pairs_at_once)
    matrix = np.zeros((WORDS, WORDS))
    matrix[cells.rows, cells.columns] = cells.counts
    np.testing.assert_allclose(matrix, slow_counts(window))
    assert len(cells.rows) == (matrix > 0).sum(), "no cell twice"


def test_a_text_without_pairs_has_no_cells() -> None:
    cells = count_pairs(np.zeros(0, np.int32), np.zeros(1, np.int64), WORDS, 3)
    assert [len(part) for part in cells] == [0, 0, 0]


def test_every_iteration_is_adagrad_on_the_papers_loss() -> None:
    model, cells = model_and_cells()
    w, v, b, c = (parameter.detach().double().clone() for parameter in model.parameters())
    sums = [torch.ones_like(part) for part in (w, v, b, c)]
    memory = arrays(model)
    squares = Arrays(*(np.ones_like(part) for part in memory))
    losses = []
    for iteration in range(4):
        order = np.random.default_rng(iteration).permutation(30)
        expected = 0.0
        for cell in order:
            i, j, x = int(cells.rows[cell]), int(cells.columns[cell]), float(cells.counts[cell])
            parts = [part.requires_grad_() for part in (w, v, b, c)]
            error = w[i] @ v[j] + b[i] + c[j] - np.log(x)
            loss = 0.5 * min(1.0, (x / 100) ** 0.75) * error**2
            gradients = torch.autograd.grad(loss, parts)
            expected += loss.item()
            with torch.no_grad():
                for part, gradient, total in zip(parts, gradients, sums, strict=True):
                    part -= RATE * gradient / total.sqrt()
                    total += gradient**2
        got = learn_cells(memory, squares, cells, order, 0, 30, RATE)
        assert got == pytest.approx(expected, rel=1e-4)
        losses.append(got)
    assert losses[-1] < 0.8 * losses[0]
    for ours, theirs in zip((*memory, *squares), (w, v, b, c, *sums), strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-3, atol=1e-4)


def test_the_objective_is_that_of_mittens() -> None:
    mittens = pytest.importorskip("mittens.np_mittens")
    model, cells = model_and_cells()
    matrix = np.zeros((WORDS, WORDS))
    matrix[cells.rows, cells.columns] = cells.counts
    theirs = mittens.GloVe(n=WIDTH, xmax=100, alpha=0.75, max_iter=1)
    w, v, b, c = (parameter.detach().numpy().astype(float) for parameter in model.parameters())
    theirs.test_mode = True
    theirs.fit(matrix, fixed_initialization={"W": w, "C": v, "bw": b[:, None], "bc": c[:, None]})
    squares = Arrays(*(np.ones_like(part) for part in arrays(model)))
    got = learn_cells(arrays(model), squares, cells, np.arange(30), 0, 30, 0.0)
    assert got == pytest.approx(theirs.errors[0], rel=1e-5)
    assert all((part == 1).all() for part in squares), "a rate of 0 only measures"


def test_a_words_vector_is_the_sum_of_both() -> None:
    model, _ = model_and_cells()
    assert torch.equal(model(torch.tensor([3])), (model.vectors + model.contexts)[[3]])
    with pytest.raises(UserError, match="two different words"):
        build(GloVeConfig(vocabulary=1))
