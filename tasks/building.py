"""Puts a supervised task together: from a problem and options to an agent, or to a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from core.agent import Task
from core.built import Built, Note
from core.config import RunConfig
from core.learner import Arithmetic, load_weights
from core.machine import ranks
from core.machine.probe import Trial, choose_arithmetic, resolve_device
from core.seeds import derived_seed
from tasks.epochs import Epochs
from tasks.network_options import load_weights_file
from tasks.options import TrainingConfig, scheduled_run
from tasks.problem import Problem, Scored, Stop
from tasks.supervised import (
    Supervised,
    build_learner,
    require_same_data,
    update,
)


class TaskConfig(Protocol):
    """What the options of every supervised task have."""

    @property
    def env(self) -> str:
        """The data, as results name them."""

    @property
    def network(self) -> str:
        """Name in the registry."""

    @property
    def weights(self) -> str:
        """File of weights to start from, or ''."""

    @property
    def training(self) -> TrainingConfig:
        """How the network is trained."""

    @property
    def run(self) -> RunConfig:
        """How long, how often, where."""


class SupervisedTask:
    """What the commands ask of a task: to be built, described, scored."""

    def __init__(self, problem: Callable[[Any], Problem]) -> None:
        """`problem` makes the problem of the task's options, which reads its data."""
        self.problem = problem

    def build(
        self, config: TaskConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
    ) -> Built:
        """An agent ready to be trained.

        Args:
            config: the task's options.
            folder: not used: nothing is kept in files.
            note: told what was chosen.
            arithmetic: of the run that is resumed; None to choose by measuring.

        Raises:
            UserError: the data are not here or damaged, the network does not fit them, there are
                fewer examples than a batch has, or several processes cannot share a batch.
        """
        ranks.share(config.training.batch_size, "batch_size")
        problem = self.problem(config)
        run = scheduled_run(config.run, config.training, problem.num_examples)
        seed = derived_seed(run.seed, "lanes")  # the name is older than the epochs
        epochs = Epochs(config.training.batch_size, problem.num_examples, seed)
        for line in problem.describe():
            note(line)
        if arithmetic is None:
            probe = choose_arithmetic(run, _trial(config, problem))
            note(str(probe))
            arithmetic = probe.choice
        torch.set_num_threads(arithmetic.threads)
        torch.manual_seed(run.seed)
        network = problem.build_network()
        if config.weights:
            load_weights_file(config.network, network, config.weights)
        arithmetic.place(network)
        agent = Supervised(problem, config.training, run, epochs, network, arithmetic)
        task = Task(config.env, "", 1, agent.evaluate, lambda score: None)
        return Built(agent, task, arithmetic, {"parameters": parameter_count(network)}, run)

    def describe(self, config: TaskConfig) -> list[str]:
        """What a dry run says: the data, how long, and the network's size."""
        problem = self.problem(config)
        run = scheduled_run(config.run, config.training, problem.num_examples)
        return [
            *problem.describe(),
            f"{run.total_steps:,} examples in batches of {config.training.batch_size}",
            f"{parameter_count(problem.build_network()):,} parameters",
        ]

    def score(
        self, config: TaskConfig, state: Mapping[str, Any], device: str, stop: Stop
    ) -> Scored | None:
        """Score a saved network on the test part of its data; None where it was stopped.

        Args:
            config: the options of its run.
            state: the parts 'network' and 'problem' of a checkpoint.
            device: where it runs.
            stop: asked between batches.

        Raises:
            UserError: the weights belong to another network, or the data are others now.
        """
        problem = self.problem(config)
        require_same_data(problem, state["problem"])
        arithmetic = Arithmetic(resolve_device(device), torch.get_num_threads())
        network = problem.build_network()
        load_weights(network, state["network"])
        arithmetic.place(network).eval()
        return problem.test(network, arithmetic, stop)


def parameter_count(network: nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(p.numel() for p in network.parameters())


def _trial(config: TaskConfig, problem: Problem) -> Trial:
    """One real update on the first examples, for the start-up probe."""
    first = np.arange(ranks.share(config.training.batch_size, "batch_size"))
    batch = problem.batch(first, np.random.default_rng(0))

    def trial(arithmetic: Arithmetic) -> Callable[[], object]:
        network = arithmetic.place(problem.build_network())
        learner = build_learner(network, config.training, arithmetic)
        learner.set_learning_rate(1e-6)
        return lambda: update(problem, learner, batch)

    return trial
