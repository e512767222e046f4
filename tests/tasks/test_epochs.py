"""Every example comes once an epoch, in an order that a seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import UserError
from tasks.epochs import Epochs


def deal(epochs: Epochs, batches: int) -> np.ndarray:
    """The first batches, one after the other."""
    return np.concatenate([epochs.batch(n * epochs.batch_size) for n in range(batches)])


@pytest.mark.parametrize(("batch", "examples"), [(3, 10), (1, 4), (5, 5), (4, 12), (7, 9)])
def test_every_epoch_has_every_example_once(batch: int, examples: int) -> None:
    epochs = 6
    stream = deal(Epochs(batch, examples, 5), -(-epochs * examples // batch))[: epochs * examples]
    rounds = stream.reshape(epochs, examples)
    assert stream.dtype == np.int64
    assert (np.sort(rounds, axis=1) == np.arange(examples)).all()
    if examples > 4:
        assert len(np.unique(rounds, axis=0)) > 1


def test_the_seed_decides() -> None:
    np.testing.assert_array_equal(deal(Epochs(4, 50, 1), 30), deal(Epochs(4, 50, 1), 30))
    assert not np.array_equal(deal(Epochs(4, 50, 1), 1), deal(Epochs(4, 50, 2), 1))


@pytest.mark.parametrize("before", [1, 7, 20])
def test_dealing_goes_on_from_any_place(before: int) -> None:
    whole = Epochs(4, 11, 3)
    for batch in range(before):
        whole.batch(4 * batch)
    np.testing.assert_array_equal(whole.batch(4 * before), Epochs(4, 11, 3).batch(4 * before))


def test_fewer_examples_than_a_batch_are_refused() -> None:
    with pytest.raises(UserError, match=r"7 examples .* fewer than one batch: --batch-size"):
        Epochs(8, 7, 0)
