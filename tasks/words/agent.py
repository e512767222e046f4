"""The agent of word vectors: it reads on in the text, and is scored by what the vectors know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.agent import Advanced, Assessment, Metrics
from core.config import RunConfig
from core.files import atomic
from core.files.json_files import disk_errors
from core.learner import load_weights
from networks.language.word_vectors import Vectors, save_binary, save_text
from tasks.problem import Stop
from tasks.supervised import require_same_data
from tasks.words.config import WordsConfig
from tasks.words.corpus import Corpus
from tasks.words.lesson import Lesson
from tasks.words.scoring import Questions

PROJECTED = 10_000
"""Frequent words that TensorBoard's projector is given."""


class WordLearning:
    """Learns the words of a text."""

    def __init__(
        self, lesson: Lesson, corpus: Corpus, config: WordsConfig, run: RunConfig,
        questions: Questions, folder: Path,
    ) -> None:  # fmt: skip
        """Args:
        lesson: what is learned, and how.
        corpus: the text.
        config: the options.
        run: how long.
        questions: that the vectors are scored by, maybe none.
        folder: of the run.
        """
        self.lesson = lesson
        self.corpus = corpus
        self.config = config
        self.run = run
        self.questions = questions
        self.folder = folder
        self.sound = True
        self._rate = config.first_learning_rate
        self._seen = 0
        self._loss, self._predictions = 0.0, 0

    def advance(self, agent_steps: int) -> Advanced:
        """A few thousand words."""
        first, last = self.config.first_learning_rate, self.config.last_learning_rate
        progress = min(1.0, agent_steps / self.run.total_steps) if self.lesson.falling else 0.0
        self._rate = max(min(first, last), first - (first - last) * progress)
        self.sound = False
        steps, loss, predictions = self.lesson.learn(agent_steps, self._rate)
        self.sound = True
        self._loss += loss
        self._predictions += predictions
        self._seen = agent_steps + steps
        return Advanced(steps)

    def metrics(self) -> Metrics:
        """Loss since the last call, learning rate, epochs."""
        scalars = {
            "optimiser/learning_rate": self._rate,
            "training/epoch": self._seen / self.lesson.steps,
        }
        if self._predictions:
            scalars["loss/total"] = self._loss / self._predictions
        self._loss, self._predictions = 0.0, 0
        return Metrics(scalars)

    def evaluate(self, agent_steps: int, seed: int, stop: Stop) -> Assessment | None:
        """The loss that the lesson says, and answers where something is asked; leaves the vectors
        as files in the run's folder. The best by analogies, else by judged pairs, else by loss."""
        loss = self.lesson.loss()
        vectors = self.vectors()
        self._write(vectors)
        scalars = {"validation/loss": loss}
        text = f"{self.lesson.loss_name} {loss:.4f}"
        best_by = -loss
        agreed = self.questions.agreement(vectors)
        if agreed:
            best_by = scalars["validation/similarity"] = agreed.spearman
            text += f", similarity {agreed.spearman:.3f}"
        if self.questions.sections:
            best_by = self.questions.accuracy(vectors)
            scalars["validation/analogies"] = best_by
            text += f", {best_by:.2%} of analogies"
        return Assessment([best_by], best_by, scalars, text)

    def vectors(self) -> Vectors:
        """What was learned so far."""
        return Vectors(self.corpus.words, self.lesson.model.word_vectors().numpy())

    def _write(self, vectors: Vectors) -> None:
        """The vectors in word2vec's form, and frequent ones for TensorBoard's projector."""
        if self.config.vectors_format == "binary":
            save_binary(self.folder / "vectors.bin", vectors)
        else:
            save_text(self.folder / "vectors.txt", vectors)
        frequent = zip(vectors.words[:PROJECTED], vectors.matrix[:PROJECTED].tolist(), strict=True)
        words, rows = zip(*frequent, strict=True)
        table = "".join("\t".join(f"{value:.6g}" for value in row) + "\n" for row in rows)
        files = {
            "words.tsv": "".join(f"{word}\n" for word in words),
            "vectors.tsv": table,
            "projector_config.pbtxt": 'embeddings {\n  tensor_name: "words"\n  tensor_path: '
            '"vectors.tsv"\n  metadata_path: "words.tsv"\n}\n',
        }
        with disk_errors("write", self.folder):
            for name, content in files.items():
                atomic.replace_file(self.folder / name, [content.encode()])

    def needs_checkpoint(self) -> bool:
        """Never early."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Vectors, and what data they are of."""
        return {
            "network": self.lesson.model.state_dict(),
            "lesson": self.lesson.state_dict(),
            "problem": self.corpus.identity(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``. Raises UserError when the data are others."""
        require_same_data(self.corpus, state["problem"])
        load_weights(self.lesson.model, state["network"])
        self.lesson.load_state_dict(state["lesson"])

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with trained vectors of the same words."""
        load_weights(self.lesson.model, network)

    @torch.no_grad()
    def start_from_file(self, vectors: Vectors) -> int:
        """Take the vectors of the words that a file has too; returns how many they are."""
        number = {word: place for place, word in enumerate(vectors.words)}
        shared = [place for place, word in enumerate(self.corpus.words) if word in number]
        rows = vectors.matrix[[number[self.corpus.words[place]] for place in shared]]
        self.lesson.model.word_vectors()[shared] = torch.from_numpy(rows)
        return len(shared)

    def close(self) -> None:
        """Nothing is held."""
