"""What vectors know: analogies and judged pairs of the user's, and neighbours of frequent words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.errors import UserError
from networks.language.word_similarity import Agreement, JudgedPair, agreement, read_judged_pairs
from networks.language.word_vectors import (
    AnalogySection,
    Vectors,
    answer,
    neighbours,
    read_analogies,
)
from tasks.data.files import read_text
from tasks.problem import Scored
from tasks.words.config import WordsConfig

SHOWN_WORDS, SHOWN_NEIGHBOURS = 10, 6
FREQUENT = (100, 1000)
"""Ranks among which words are shown: those before are 'the', 'of', 'and'."""


class Questions:
    """What vectors are asked: analogies, and how alike pairs of words are."""

    def __init__(self, config: WordsConfig) -> None:
        """Read the files that the options name, if they do. Raises UserError for a bad one."""
        self.sections: list[AnalogySection] = []
        self.pairs: list[JudgedPair] = []
        if config.analogies:
            self.sections = read_analogies(Path(config.analogies), _text(config, config.analogies))
        if config.similarities:
            path = Path(config.similarities)
            self.pairs = read_judged_pairs(path, _text(config, config.similarities))

    def check(self, vectors: Vectors) -> None:
        """Raise UserError where nothing can be asked, since too few words are known."""
        self.answers(vectors)
        self.agreement(vectors)

    def answers(self, vectors: Vectors) -> list[tuple[str, int, int]]:
        """Of each section its name, right answers, and questions whose words are all known.

        Raises:
            UserError: no question has four known words.
        """
        found = [(each.name, *answer(vectors, each.questions)) for each in self.sections]
        if self.sections and not any(asked for _, _, asked in found):
            raise UserError(
                "none of the analogies has four words that the text has often enough; choose "
                "others, or lower --minimum-count"
            )
        return found

    def accuracy(self, vectors: Vectors) -> float:
        """Share of right answers."""
        answers = self.answers(vectors)
        return sum(right for _, right, _ in answers) / sum(asked for _, _, asked in answers)

    def agreement(self, vectors: Vectors) -> Agreement | None:
        """With people on the order of pairs; None where no pairs are asked about.

        Raises:
            UserError: too few pairs are of known words.
        """
        return agreement(vectors, self.pairs) if self.pairs else None


def _text(config: WordsConfig, path: str) -> str:
    """Of a file of questions; the words of prose are lower-cased."""
    text = read_text(Path(path))
    return text.lower() if config.text == "prose" else text


def shown_words(config: WordsConfig, words: list[str]) -> list[str]:
    """Words whose neighbours are shown. Raises UserError for one that has no vector."""
    if config.neighbours_of:
        chosen = [word.strip() for word in config.neighbours_of.split(",") if word.strip()]
        for word in chosen:
            if word not in words:
                raise UserError(
                    f"--neighbours-of: {word!r} is not in the text, or rarer than --minimum-count"
                )
        return chosen
    first, last = (min(rank, len(words)) for rank in FREQUENT)
    places = np.unique(np.geomspace(first, last, SHOWN_WORDS).astype(int) - 1)
    return [words[place] for place in places]


def score_vectors(
    config: WordsConfig, vectors: Vectors, questions: Questions, loss: float, loss_name: str
) -> Scored:
    """Everything that is said of vectors: of the loss, analogies, judged pairs, neighbours."""
    scores = {"loss": loss}
    lines = [f"{loss_name} {loss:.4f}"]
    agreed = questions.agreement(vectors)
    if agreed:
        scores = {"similarity": agreed.spearman, **scores}
        lines.append(
            f"similarity {agreed.spearman:.3f} (Spearman) over {agreed.known:,} pairs whose words "
            f"are known ({len(questions.pairs):,} in the file)"
        )
    answers = questions.answers(vectors)
    if answers:
        scores = {"analogies": questions.accuracy(vectors), **scores}
        total = sum(len(section.questions) for section in questions.sections)
        asked = sum(known for _, _, known in answers)
        lines.append(
            f"analogies {scores['analogies']:.2%} right of {asked:,} whose words are known "
            f"({total:,} in the file)"
        )
        lines += [f"    {name}: {right} of {known}" for name, right, known in answers if known]
    shown = {
        word: neighbours(vectors, word, SHOWN_NEIGHBOURS)
        for word in shown_words(config, vectors.words)
    }
    lines.append("nearest by cosine:")
    for word, near in shown.items():
        lines.append(f"    {word}: " + ", ".join(f"{other} {c:.2f}" for other, c in near))
    details = {"neighbours": {word: [list(pair) for pair in near] for word, near in shown.items()}}
    return Scored(scores, lines, details)
