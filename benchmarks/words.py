"""Words per second of word2vec, ours beside gensim's, on Jane Austen's novels.

Both read the same sentences of the same known words with the same options, once a round; rounds
alternate in one process: ours, theirs, ours, theirs. gensim is asked for where it is installed. Its
time includes turning Python's words into numbers, as it does at every pass; ours does that once,
before.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import contextlib

from benchmarks.common import parse_options
from core.config import free
from core.machine.environment_facts import environment_facts
from tasks.words.config import WordsConfig
from tasks.words.corpus import Corpus, load_corpus
from tasks.words.lesson import Word2VecLesson

CASES: list[dict[str, Any]] = [
    {"model": model, "output": output}
    for model in ("skipgram", "cbow")
    for output in ("negative", "hierarchical")
]


@dataclass(frozen=True)
class Options:
    """Words per second of word2vec, ours and gensim's."""

    data: str = "austen"
    """As for tengen train words."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads."""
    rounds: int = free(3, at_least=1)
    """Passes over the text of each contender, of which the median counts."""
    out: str = ""
    """File for the results as JSON."""


def ours(config: WordsConfig, corpus: Corpus, threads: int) -> Callable[[], int]:
    """A pass over the text; says how many words that were."""
    lesson = Word2VecLesson(config, corpus, threads)

    def read() -> int:
        step = 0
        while step < lesson.steps:
            step += lesson.learn(step, config.first_learning_rate)[0]
        return step

    return read


def theirs(config: WordsConfig, corpus: Corpus, threads: int) -> Callable[[], int]:
    """The same by gensim. Raises ImportError where it is not installed."""
    from gensim.models import Word2Vec  # type: ignore[import-not-found,unused-ignore]

    words, bounds = corpus.train.words.tolist(), corpus.train.bounds.tolist()
    sentences = [
        [corpus.words[word] for word in words[first:last]]
        for first, last in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    negative = config.output == "negative"
    model = Word2Vec(
        vector_size=config.width, window=config.window, min_count=1, sample=config.subsampling,
        sg=int(config.model == "skipgram"), hs=int(not negative),
        negative=config.negatives if negative else 0, alpha=config.first_learning_rate,
        workers=threads,
    )  # fmt: skip
    model.build_vocab(sentences)

    def read() -> int:
        model.train(sentences, total_examples=len(sentences), epochs=1)
        return len(words)

    return read


def measure(contenders: dict[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """Median words per second by name, after one pass that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, read in contenders.items():
            started = time.perf_counter()
            words = read()
            if number:
                rates[name].append(words / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in rates.items()}


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    options = parse_options(Options)
    base = WordsConfig(data=options.data)
    corpus = load_corpus(base)
    rows: list[dict[str, Any]] = []
    print(f"{'model':<10} {'output':<13} threads {'ours':>12} {'gensim':>12}  words/s")
    for case in CASES:
        config = replace(base, **case)
        for threads in options.threads:
            contenders = {"ours": ours(config, corpus, threads)}
            with contextlib.suppress(ImportError):
                contenders["gensim"] = theirs(config, corpus, threads)
            rates = measure(contenders, options.rounds)
            rows.append({**case, "threads": threads, **rates})
            gensim = f"{rates['gensim']:>12,.0f}" if "gensim" in rates else f"{'-':>12}"
            print(
                f"{config.model:<10} {config.output:<13} {threads:>7} {rates['ours']:>12,.0f} "
                f"{gensim}",
                flush=True,
            )
    if options.out:
        content = {"environment": environment_facts(), "rows": rows}
        Path(options.out).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
