"""The agent of every supervised task: it looks at a batch of examples and makes one update.

An agent step is an example, so that a run of E epochs makes as many updates as they have batches.
All random numbers of a batch derive from the run's seed and the number of examples seen: nothing
has to be saved for them. Dropout draws from torch's generator, which the trainer saves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from core.agent import Advanced, Assessment, Metrics
from core.config import RunConfig
from core.errors import UserError
from core.learner import Arithmetic, Learner, load_weights
from core.machine import ranks
from core.optimisers import build_optimiser
from core.schedule import learning_rate_factor
from tasks.epochs import Epochs
from tasks.options import TrainingConfig
from tasks.problem import Problem, Stop


class Supervised:
    """Learns a problem's examples, a batch at a time."""

    def __init__(
        self,
        problem: Problem,
        training: TrainingConfig,
        run: RunConfig,
        epochs: Epochs,
        network: nn.Module,
        arithmetic: Arithmetic,
    ) -> None:
        """Args:
        problem: what is learned.
        training: how.
        run: how long; its seed decides the augmentation.
        epochs: deal out the problem's examples.
        network: placed on the device already.
        arithmetic: device, precision, layout.
        """
        self.problem = problem
        self.training = training
        self.run = run
        self.arithmetic = arithmetic
        self.epochs = epochs
        self.network = network
        self.learner = build_learner(network, training, arithmetic)
        self.sound = True
        self._batch: dict[str, np.ndarray] = {}
        self._seen = 0

    def advance(self, agent_steps: int) -> Advanced:
        """One update with the next batch, or with this process's share of it."""
        self._seen = agent_steps + self.epochs.batch_size
        factor = learning_rate_factor(
            self.training.schedule, self._seen / self.run.total_steps, self.training.warmup
        )
        self.learner.set_learning_rate(factor * self.training.learning_rate)
        random = np.random.default_rng([ranks.own_seed(self.run.seed), agent_steps])
        examples = self.epochs.batch(agent_steps)[ranks.rank() :: ranks.count()]
        self._batch = self.problem.batch(examples, random)
        self.sound = False
        update(self.problem, self.learner, self._batch)
        self.sound = True
        return Advanced(len(examples))

    def metrics(self) -> Metrics:
        """Loss and scores on the batches since the last call, and pictures."""
        names = {"loss": "loss/total", "gradient_norm": "optimiser/gradient_norm"}
        drained = self.learner.drain_metrics()
        scalars = {names.get(name, f"training/{name}"): value for name, value in drained.items()}
        scalars["optimiser/learning_rate"] = self.learner.learning_rate
        scalars["training/epoch"] = self._seen / self.problem.num_examples
        images = self.problem.pictures(self._batch) if self._batch else {}
        return Metrics(scalars, images=images)

    def evaluate(self, agent_steps: int, seed: int, stop: Stop) -> Assessment | None:
        """The score on the validation part; None where it was stopped."""
        self.network.eval()
        return self.problem.validate(self.network, self.arithmetic, stop)

    def needs_checkpoint(self) -> bool:
        """Never early."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, and what data they are of."""
        learner = self.learner.state_dict()
        return {
            "network": learner.pop("network"),
            "learner": learner,
            "problem": self.problem.identity(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``. Raises UserError when the data are others."""
        require_same_data(self.problem, state["problem"])
        self.learner.load_state_dict({"network": state["network"], **state["learner"]})

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with trained weights."""
        load_weights(self.network, network)

    def close(self) -> None:
        """Nothing is held."""


def build_learner(network: nn.Module, training: TrainingConfig, arithmetic: Arithmetic) -> Learner:
    """The optimiser that the options ask for; biases and normalisation do not decay."""
    weights = {name: p for name, p in network.named_parameters() if p.requires_grad}
    groups: list[dict[str, Any]] = [{"params": list(weights.values())}]
    if training.weight_decay:
        # Every bias, also one of shape [C, 1, 1].
        free = {name for name, p in weights.items() if p.ndim < 2 or name.endswith("bias")}
        groups = [{"params": [p for name, p in weights.items() if name not in free]}]
        groups += [{"params": [weights[name] for name in weights if name in free],
                    "weight_decay": 0.0}] if free else []  # fmt: skip
    has_momentum = training.optimiser in ("sgd", "rmsprop_torch")
    optimiser = build_optimiser(
        training.optimiser,
        groups,
        training.learning_rate,
        training.optimiser_epsilon,
        momentum=training.momentum if has_momentum else 0.0,
        nesterov=training.nesterov,
        beta2=training.beta2,
        weight_decay=training.weight_decay,
    )
    return Learner(network, optimiser, arithmetic, training.max_gradient_norm)


def update(problem: Problem, learner: Learner, batch: Mapping[str, np.ndarray]) -> None:
    """One step of the optimiser on a batch.

    Raises:
        UserError: the batch is too small for the network's normalisation.
    """
    tensors = {name: learner.arithmetic.tensor(array) for name, array in batch.items()}
    learner.network.train()

    def loss_function() -> tuple[Tensor, dict[str, Tensor]]:
        try:
            return problem.loss(learner.network, tensors)
        except ValueError as error:  # torch's of a normalisation that has one value to go by
            if "more than 1 value per channel" not in str(error):
                raise
            raise UserError(
                f"the network normalises over a single value ({error}): raise --batch-size, use "
                f"larger images, or --network-options normalisation=layer"
            ) from error

    learner.update(loss_function)


class Identified(Protocol):
    """What knows its data."""

    def identity(self) -> dict[str, Any]:
        """What must be the same when training goes on."""


def require_same_data(problem: Identified, saved: Mapping[str, Any]) -> None:
    """Raise UserError where a checkpoint was made with other data or another vocabulary."""
    ours = problem.identity()
    for name, value in saved.items():
        if ours.get(name) != value:
            raise UserError(
                f"the checkpoint was made with other data: its {name} is {value!r}, here it is "
                f"{ours.get(name)!r}; use the data that the run began with"
            )
