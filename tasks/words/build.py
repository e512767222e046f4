"""Puts the learning of word vectors together from its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from core.agent import Task
from core.built import Built, Note
from core.config import RunConfig
from core.errors import UserError
from core.learner import Arithmetic, load_weights
from core.machine.kernels import announce_compilation
from networks.language.word_vectors import Vectors, load
from tasks.building import parameter_count
from tasks.problem import Scored, Stop
from tasks.supervised import require_same_data
from tasks.words.agent import WordLearning
from tasks.words.config import WordsConfig
from tasks.words.corpus import Corpus, load_corpus
from tasks.words.glove_lesson import GloVeLesson
from tasks.words.lesson import Lesson, Word2VecLesson
from tasks.words.scoring import Questions, score_vectors, shown_words


def build(
    config: WordsConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """An agent ready to be trained.

    Args:
        config: its options.
        folder: of a replay, which lies in the run's folder.
        note: told what was read.
        arithmetic: of the run that is resumed; None for what the options say.

    Raises:
        UserError: the text, the questions or the vectors to begin with are not here or damaged, or
            the device is none that kernels run on.
    """
    arithmetic = arithmetic or _arithmetic(config.run)
    questions = Questions(config)  # before the text, which may be long
    corpus = load_corpus(config)
    for line in corpus.describe():
        note(line)
    torch.manual_seed(config.run.seed)
    shown_words(config, corpus.words)
    lesson = make_lesson(config, corpus, arithmetic.threads)
    run = _scheduled(config, lesson)
    agent = WordLearning(lesson, corpus, config, run, questions, folder.parent)
    if config.weights:
        _begin(agent, config, note)
    questions.check(agent.vectors())  # says now where too few of their words are known
    task = Task(config.env, "", 1, agent.evaluate, lambda score: None)
    return Built(agent, task, arithmetic, {"parameters": parameter_count(lesson.model)}, run)


def make_lesson(config: WordsConfig, corpus: Corpus, threads: int) -> Lesson:
    """What the model of the options learns."""
    if config.model == "glove":
        announce_compilation("GloVe", "glove.learn_cells")
        return GloVeLesson(config, corpus, threads)
    announce_compilation("word2vec", "word2vec.learn_sentences")
    return Word2VecLesson(config, corpus, threads)


def _arithmetic(run: RunConfig) -> Arithmetic:
    """One thread unless the user asks for more: then a run can be repeated."""
    if run.device not in ("auto", "cpu") or run.precision == "bf16" or run.compile:
        raise UserError(
            "word vectors are learned by compiled loops on the processor: leave out --device, "
            "--precision and --compile"
        )
    return Arithmetic("cpu", run.threads or 1)


def _begin(agent: WordLearning, config: WordsConfig, note: Note) -> None:
    vectors = load(Path(config.weights))
    width = vectors.matrix.shape[1]
    if width != config.width:
        raise UserError(f"{config.weights} has vectors of {width} features: use --width {width}")
    shared = agent.start_from_file(vectors)
    note(f"{shared:,} of {len(agent.corpus.words):,} words begin with vectors of {config.weights}")


def _scheduled(config: WordsConfig, lesson: Lesson) -> RunConfig:
    """The run's options with its epochs in steps, and an evaluation after each epoch."""
    run, default = config.run, RunConfig()
    if run.total_steps == default.total_steps:
        run = replace(run, total_steps=max(1, round(config.epochs * lesson.steps)))
    if run.evaluate_every == default.evaluate_every:
        run = replace(run, evaluate_every=lesson.steps)
    return run


def describe(config: WordsConfig) -> list[str]:
    """What a dry run says: the text, how long, and the model's size."""
    corpus = load_corpus(config)
    lesson = make_lesson(config, corpus, 1)
    return [
        *corpus.describe(),
        f"{_scheduled(config, lesson).total_steps:,} steps",
        f"{parameter_count(lesson.model):,} parameters",
    ]


def score(config: WordsConfig, state: Mapping[str, Any], device: str, stop: Stop) -> Scored | None:
    """What saved vectors know.

    Args:
        config: the options of their run.
        state: the parts 'network' and 'problem' of a checkpoint.
        device: not used.
        stop: not asked: it takes a moment.

    Raises:
        UserError: the vectors are of other words, or the data are others now.
    """
    corpus = load_corpus(config)
    require_same_data(corpus, state["problem"])
    lesson = make_lesson(config, corpus, 1)
    load_weights(lesson.model, state["network"])
    vectors = Vectors(corpus.words, lesson.model.word_vectors().numpy())
    return score_vectors(config, vectors, Questions(config), lesson.loss(), lesson.loss_name)
