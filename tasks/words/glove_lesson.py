"""What GloVe learns: the cells of a matrix of counts, in a new order every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from core.errors import UserError
from core.machine.threads import Threads, shares_of
from core.seeds import derived_seed
from networks.language.glove import Arrays, GloVe, GloVeConfig, count_pairs, learn_cells
from tasks.words.config import WordsConfig
from tasks.words.corpus import Corpus

CELLS_AT_ONCE = 50_000
"""Of a thread."""


class GloVeLesson:
    """Cells of a text's co-occurrences. A step is one of them."""

    falling = False
    loss_name = "mean loss of all cells"

    def __init__(self, config: WordsConfig, corpus: Corpus, threads: int) -> None:
        """Count.

        Args:
            config: the options.
            corpus: the text.
            threads: that learn at the same time, without locks.
        """
        self.model = GloVe(GloVeConfig(len(corpus.words), config.width))
        part = corpus.train
        self.cells = count_pairs(part.words, part.bounds, len(corpus.words), config.window)
        self.steps = len(self.cells.rows)
        self._squares = {
            name: torch.ones_like(value) for name, value in self.model.state_dict().items()
        }
        self._seed = config.run.seed
        self._threads = Threads(threads)
        self._order: tuple[int, np.ndarray] = (-1, np.arange(0))

    def learn(self, step: int, rate: float) -> tuple[int, float, int]:
        """CELLS_AT_ONCE for each thread, as many as the epoch still has."""
        epoch, first = divmod(step, self.steps)
        last = min(self.steps, first + CELLS_AT_ONCE * self._threads.count)
        if self._order[0] != epoch:
            random = np.random.default_rng(derived_seed(self._seed, f"cells {epoch}"))
            self._order = (epoch, random.permutation(self.steps))
        model, squares, order = self._model(), _arrays(self._squares), self._order[1]
        losses = [0.0] * self._threads.count

        def work(begin: int, end: int, thread: int) -> None:
            losses[thread] = learn_cells(model, squares, self.cells, order, begin, end, rate)

        self._threads.run(work, shares_of(first, last, self._threads.count))
        return last - first, sum(losses), last - first

    def loss(self) -> float:
        """J divided by the number of cells."""
        everything = np.arange(self.steps)
        total = learn_cells(
            self._model(), _arrays(self._squares), self.cells, everything, 0, self.steps, 0.0
        )
        return total / self.steps

    def _model(self) -> Arrays:
        return _arrays(self.model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """AdaGrad's sums."""
        return dict(self._squares)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`. Raises UserError for sums of another model."""
        for name, sums in self._squares.items():
            if name not in state or state[name].shape != sums.shape:
                raise UserError(f"the checkpoint's sums of {name} do not fit this model")
            sums.copy_(torch.as_tensor(state[name]))


def _arrays(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    """The memory of the tensors, by their names."""
    return Arrays(**{name: tensor.detach().numpy() for name, tensor in tensors.items()})
