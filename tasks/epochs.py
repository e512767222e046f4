"""One shuffled epoch after the other, without a gap: each example comes once an epoch, and a batch
may lie across the end of one.

Legend: B examples of a batch, N examples.
"""

from __future__ import annotations

import numpy as np

from core.errors import UserError


class Epochs:
    """Deals out the numbers of examples; the order of an epoch depends on the seed and its number
    alone, so that nothing has to be saved."""

    def __init__(self, batch_size: int, num_examples: int, seed: int) -> None:
        """Raises UserError when there are fewer examples than a batch has."""
        if not 1 <= batch_size <= num_examples:
            raise UserError(
                f"there are {num_examples:,} examples to learn from, fewer than one batch: "
                f"--batch-size must be 1 to {num_examples}, got {batch_size}"
            )
        self.batch_size = batch_size
        self.num_examples = num_examples
        self.seed = seed
        self._epoch = -1
        self._order = np.empty(0, np.int64)

    def batch(self, dealt: int) -> np.ndarray:
        """The numbers of the next examples, int64 [B], after so many were dealt out."""
        epochs, places = np.divmod(np.arange(dealt, dealt + self.batch_size), self.num_examples)
        numbers = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            numbers[here] = self._shuffled(int(epoch))[places[here]]
        return numbers

    def _shuffled(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            random = np.random.default_rng([self.seed, epoch])
            self._order, self._epoch = random.permutation(self.num_examples), epoch
        return self._order
