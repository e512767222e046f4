"""What a model of word vectors adds to the agent that all share, and word2vec's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from core.machine.random_numbers import random_state
from core.machine.threads import Threads, shares_of
from core.seeds import derived_seed
from networks.base import WordModel
from networks.language.word2vec import (
    Settings,
    Word2Vec,
    Word2VecConfig,
    learn_sentences,
    make_scratch,
    make_tables,
)
from tasks.words.config import WordsConfig
from tasks.words.corpus import LONGEST_SENTENCE, Corpus, Sentences

WORDS_AT_ONCE = 10_000
"""Of a thread, after which the learning rate is set anew."""
LOSS_EVERY = 32


class Lesson(Protocol):
    """A model and the examples that it learns."""

    steps: int
    """Of an epoch."""
    falling: bool
    """Whether the learning rate falls over the run."""
    loss_name: str
    """What `loss` measures."""

    @property
    def model(self) -> WordModel:
        """What learns."""

    def learn(self, step: int, rate: float) -> tuple[int, float, int]:
        """Learn a few examples, from step number `step` of the run on; say how many steps that
        were, the loss summed over some of them, and over how many."""

    def loss(self) -> float:
        """A mean loss that says which checkpoint is best."""

    def state_dict(self) -> dict[str, Any]:
        """What goes on with the model, its own weights left out."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""


class Word2VecLesson:
    """Sentences of a text, cut into blocks of about WORDS_AT_ONCE words."""

    falling = True
    loss_name = "validation loss"

    def __init__(self, config: WordsConfig, corpus: Corpus, threads: int) -> None:
        """Args:
        config: the options.
        corpus: the text.
        threads: that learn at the same time and write to the same vectors without locks (Recht et
            al. 2011, arXiv 1106.5730); with more than one no two runs are quite the same.
        """
        self.corpus = corpus
        self.steps = len(corpus.train.words)
        self.model = Word2Vec(
            Word2VecConfig(len(corpus.words), config.width, config.model, config.output)
        )
        self._seed = config.run.seed
        self._threads = Threads(threads)
        self._tables = make_tables(corpus.counts, config.subsampling)
        hierarchical = config.output == "hierarchical"
        cbow = config.model == "cbow"
        self._settings = Settings(cbow, hierarchical, config.window, config.negatives, LOSS_EVERY)
        self._scratch = [make_scratch(LONGEST_SENTENCE, config.width) for _ in range(threads)]
        ends = corpus.train.bounds
        targets = np.arange(0, self.steps, WORDS_AT_ONCE)
        self._blocks = np.append(np.unique(np.searchsorted(ends, targets)), len(ends) - 1)
        """Sentences at which blocks begin, and S."""

    def learn(self, step: int, rate: float) -> tuple[int, float, int]:
        """A block for each thread, as many as the epoch still has."""
        bounds = self.corpus.train.bounds
        epoch, place = divmod(step, self.steps)
        sentence = int(np.searchsorted(bounds, place))
        block = int(np.searchsorted(self._blocks, sentence))
        blocks = self._blocks[block : block + self._threads.count + 1]
        random = random_state(derived_seed(self._seed, f"words {epoch} {block}"), len(blocks) - 1)
        results = [(0.0, 0)] * (len(blocks) - 1)

        def work(first: int, last: int, thread: int) -> None:
            for share in range(first, last):
                results[share] = self._kernel(
                    self.corpus.train, blocks[share], blocks[share + 1], rate, random[share],
                    self._settings, thread,
                )  # fmt: skip

        self._threads.run(work, shares_of(0, len(blocks) - 1, self._threads.count))
        losses, predictions = zip(*results, strict=True)
        return int(bounds[blocks[-1]] - bounds[sentence]), sum(losses), sum(predictions)

    def loss(self) -> float:
        """Of a prediction in the validation part, with the same draws each time."""
        part = self.corpus.validation
        settings = self._settings._replace(loss_every=1)
        random = random_state(self._seed)[0]
        loss, count = self._kernel(part, 0, len(part.bounds) - 1, 0.0, random, settings, 0)
        return loss / max(1, count)

    def _kernel(
        self, part: Sentences, first: int, last: int, rate: float, random: np.ndarray,
        settings: Settings, thread: int,
    ) -> tuple[float, int]:  # fmt: skip
        return learn_sentences(
            self.model.vectors.detach().numpy(), self.model.output.detach().numpy(), part.words,
            part.bounds, first, last, rate, self._tables, settings, random, self._scratch[thread],
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Nothing: all random numbers follow from the seed and the step."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""
