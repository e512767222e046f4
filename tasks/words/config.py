"""Options of word vectors. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.config import RunConfig, free, locked, warn
from core.errors import UserError
from tasks.options import short_name

LEARNING_RATES = {"skipgram": 0.025, "cbow": 0.1, "glove": 0.05}


@dataclass(frozen=True)
class WordsConfig:
    """Word vectors. A step is a word of the text; of glove, two words that stand near each other
    somewhere."""

    data: str = warn("austen")
    """austen (six novels), or a text file."""
    text: Literal["prose", "lines"] = locked("prose")
    """prose: words are lower-cased letters, sentences are paragraphs. lines: a sentence is a line,
    its words stand between blanks and are taken as they are."""
    model: Literal["skipgram", "cbow", "glove"] = locked("skipgram")
    """skipgram or cbow of word2vec, or glove, for which output, negatives and subsampling mean
    nothing."""
    output: Literal["negative", "hierarchical"] = locked("negative")
    """How a word is foretold: against noise words, or along a Huffman tree."""
    width: int = locked(100, at_least=1, at_most=10_000)
    """Features of a vector."""
    window: int = locked(5, at_least=1, at_most=1000)
    """Words on each side that count at most."""
    negatives: int = locked(5, at_least=1, at_most=1000)
    """Noise words for each word that is foretold."""
    minimum_count: int = locked(5, at_least=1)
    """Rarer words have no vector, as if they were not in the text."""
    subsampling: float = locked(1e-3, at_least=0)
    """Share of the text from which on a word is thinned out; 0 keeps all."""
    epochs: float = free(5.0, over=0, at_most=1e6)
    """Times that the text is read; --total-steps goes before it."""
    learning_rate: float = warn(0.0, at_least=0)
    """At the beginning, from where it falls in a straight line; 0 for the model's own: 0.025 of
    skipgram, 0.1 of cbow, 0.05 of glove, where it stays."""
    last_learning_rate: float = warn(1e-4, over=0)
    """At the end."""
    weights: str = warn("")
    """File of word vectors to start from, in word2vec's text or binary form."""
    analogies: str = free("")
    """File of analogies to score by: lines of four words, sections begin with ':'."""
    similarities: str = free("")
    """File of judged pairs to score by, as WordSim-353: lines of two words and a number."""
    neighbours_of: str = free("")
    """Words, with commas between, whose neighbours a test shows; '' for some frequent ones."""
    vectors_format: Literal["text", "binary"] = free("text")
    """Of the file of vectors that each evaluation leaves in the run's folder."""
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """The data, as results name them."""
        return short_name(self.data)

    @property
    def network(self) -> str:
        """The model, as results name it."""
        return self.model

    @property
    def first_learning_rate(self) -> float:
        """What the option says, or the model's own."""
        return self.learning_rate or LEARNING_RATES[self.model]

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        if self.model == "glove" and self.weights:
            raise UserError("--weights is for skipgram and cbow: glove's vectors are sums of two")


DEFAULT_PRESET = "austen-skipgram"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "austen-skipgram": ("skip-gram with negative sampling on Jane Austen (default)", {}),
    "austen-glove": (
        "GloVe on Jane Austen",
        {"model": "glove", "window": 10, "epochs": 25.0},
    ),
    "planted": (
        "for small made-up texts: a sentence a line, no word too rare or too frequent",
        {
            "text": "lines", "width": 32, "window": 5, "minimum_count": 1, "subsampling": 0.0,
            "epochs": 10.0,
        },
    ),
}  # fmt: skip
