"""Scores designs by weights that all of them share: ENAS, Pham et al. 2018, arXiv 1802.03268.

Two phases alternate (section 2.2):

    learn   the shared weights: each minibatch of training images goes through a design that the
            searcher draws for it, and the weights of that design move; of space cnn, where a weight
            is part of a larger one, the rest of it moves on by its momentum and decay
    poll    the searcher: its designs are scored by what the shared weights make of them, each on
            a minibatch of validation images

and in the end (section 2.3) designs are drawn once more, ranked, and the best one is trained from
scratch. All random numbers derive from the seed and from how far the search is, so that a phase
that was cut short is had again from the weights before it.

Legend: B images, N images of a part.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from agents.nas.config import ChildrenConfig
from agents.nas.evaluator import Child, Evaluator, Result
from agents.nas.journal import Scored
from agents.nas.training import ChildTrainer, DesignedImages
from core.errors import UserError
from core.schedule import learning_rate_factor
from core.seeds import derived_seed
from envs.architecture.convolutional import Convolutional
from envs.architecture.space import Space, Tokens
from networks.designed.build import MOST_PARAMETERS, DesignedImageConfig, build_designed
from networks.designed.shared_convolutional import SharedConvolutional
from networks.designed.shared_macro import SharedMacro
from search.architecture.random import RandomSearch
from tasks.building import parameter_count
from tasks.epochs import Epochs
from tasks.problem import Stop
from tasks.supervised import build_learner, require_same_data


class Sampler(Protocol):
    """A searcher whose designs can be had without telling it what came of them."""

    def draw(self, count: int, random: np.random.Generator) -> list[Tokens]:
        """So many designs, as it proposes them now."""


class SharedWeights:
    """An `agents.nas.evaluator.Evaluator` that trains one network for all designs."""

    def __init__(
        self,
        trainer: ChildTrainer,
        space: Space,
        searcher: Sampler,
        alone: Evaluator,
        options: ChildrenConfig,
        total_updates: int,
        seed: int,
    ) -> None:
        """Args:
        trainer: has the images.
        space: of the designs.
        searcher: draws those that are trained, and those that are ranked.
        alone: trains and tests the best of them from scratch.
        options: of the training.
        total_updates: of the shared weights in the whole search, over which the step size falls.
        seed: of all random numbers here.

        Raises:
            UserError: the sizes in the options do not fit the space, or there are fewer images
                than a batch has.
        """
        assert isinstance(trainer.problem, DesignedImages)
        self.problem = trainer.problem
        self.space = space
        self.searcher = searcher
        self.alone = alone
        self.options = options
        self.total_updates = total_updates
        self.seed = seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, "shared weights"))
            self.network = _shared_network(space, self.problem.network_sizes())
        trainer.arithmetic.place(self.network)
        self.learner = build_learner(self.network, options.training, trainer.arithmetic)
        if options.child_optimiser == "sgd":
            # torch's fused SGD fails where some weights have a momentum and others not yet.
            for weight in self.network.parameters():
                self.learner.optimiser.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        examples = self.problem.num_examples
        order = derived_seed(seed, "shared order")
        self.epochs = Epochs(options.child_batch_size, examples, order)
        self._untrained: deque[Tokens] = deque()
        self._children: deque[Child] = deque()

    # ---------------------------------------------------------------- the shared weights

    def start(self, children: Sequence[Child]) -> None:
        """Begin both phases: draw what the weights are trained on, and keep who is scored then."""
        random = self._random("shared designs", self.learner.updates)
        self._untrained = deque(self.searcher.draw(self.options.shared_updates, random))
        self._children = deque(children)

    def learn(self, seconds: float) -> bool:
        """Train for a while, one update at least; whether there is more to do.

        Raises:
            DivergedError: the loss is not finite.
        """
        end = time.monotonic() + seconds
        while self._untrained:
            self._update(self._untrained.popleft())
            if time.monotonic() >= end:
                break
        return bool(self._untrained)

    def _update(self, tokens: Tokens) -> None:
        """One step on the next minibatch, of the weights of one design."""
        training, made = self.options.training, self.learner.updates
        progress = (made + 1) / self.total_updates
        factor = learning_rate_factor(training.schedule, progress, training.warmup)
        self.learner.set_learning_rate(factor * training.learning_rate)
        examples = self.epochs.batch(made * training.batch_size)
        batch = self.problem.batch(examples, self._random("shared images", made))
        tensors = {n: self.learner.arithmetic.tensor(array) for n, array in batch.items()}
        network = self.network.network(self.space.design(tokens))
        self.learner.update(lambda: self.problem.loss(network, tensors))

    def _random(self, purpose: str, number: int) -> np.random.Generator:
        return np.random.default_rng(derived_seed(self.seed, purpose, number))

    # ---------------------------------------------------------------- scores

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        """Results of those that there was time for, one at least."""
        end = time.monotonic() + seconds
        found: list[tuple[int, Result]] = []
        while self._children and (not found or time.monotonic() < end):
            child = self._children.popleft()
            count = len(self.problem.data.validation)
            random = self._random("shared validation", child.number)
            images = random.permutation(count)[: self.options.shared_examples]
            found.append((child.number, self.score(child.design, [images])))
        return found

    @torch.no_grad()
    def score(self, design: Mapping[str, Any], batches: Sequence[np.ndarray]) -> Result:
        """Accuracy of a design with the shared weights.

        Args:
            design: of the space.
            batches: numbers of validation images, int64 [B] each. Normalisation goes by a batch.
        """
        started = time.monotonic()
        network, part = self.network.network(design), self.problem.data.validation
        arithmetic, right, loss = self.learner.arithmetic, 0, 0.0
        for rows in batches:
            arrays = {"pixels": part.pixels[rows], "labels": part.labels[rows]}
            tensors = {name: arithmetic.tensor(array) for name, array in arrays.items()}
            with arithmetic.autocast():
                batch_loss, metrics = self.problem.loss(network, tensors)
            right += round(float(metrics["accuracy"]) * len(rows))
            loss += float(batch_loss)
        seconds = time.monotonic() - started
        if not np.isfinite(loss):
            return Result("diverged", {}, seconds, "the validation loss is not finite")
        parameters = self._parameters(design)
        score = right / sum(map(len, batches))
        return Result("ok", {"score": score, "parameters": float(parameters)}, seconds)

    def _parameters(self, design: Mapping[str, Any]) -> int:
        """Of the design's network where it stands alone."""
        with torch.device("meta"):  # sizes without numbers
            return parameter_count(build_designed(design, **self.problem.network_sizes()))

    def validation_batches(self) -> list[np.ndarray]:
        """All validation images, in batches that none is too small in to normalise by. Mixed, and
        always alike: a folder's come class by class."""
        count = len(self.problem.data.validation)
        mixed = np.random.default_rng(0).permutation(count)
        return np.array_split(mixed, max(1, count // self.options.shared_examples))

    def rank(self, number: int, seed: int, rival: bool, stop: Stop) -> list[Scored] | None:
        """Draw designs and score them on all validation images.

        Args:
            number: of the first of them.
            seed: of the draws.
            rival: whether to draw and score as many at random.
            stop: asked between two designs.

        Returns:
            The searcher's, then those of random search, each with the best first; None where it
            was stopped.
        """
        samplers: list[Sampler] = [self.searcher, *([RandomSearch(self.space, 0)] if rival else [])]
        batches = self.validation_batches()
        ranked: list[Scored] = []
        for is_rival, sampler in enumerate(samplers):
            random = np.random.default_rng([seed, is_rival])
            found: list[Scored] = []
            for tokens in sampler.draw(self.options.shared_candidates, random):
                if stop():
                    return None
                result = self.score(self.space.design(tokens), batches)
                if result.status == "ok":
                    place = number + len(ranked) + len(found)
                    found.append(Scored(place, tokens, result, rival=bool(is_rival)))
            ranked += sorted(found, key=lambda scored: -scored.result.metrics["score"])
        return ranked

    def test(self, child: Child, seeds: int, stop: Stop) -> Mapping[str, Any] | None:
        """Train from scratch and test: the shared weights are not used."""
        return self.alone.test(child, seeds, stop)

    # ---------------------------------------------------------------- what the search asks

    def metrics(self) -> dict[str, float]:
        """Loss and accuracy on training minibatches since the last call, and how many there were
        in all."""
        found = {f"sharing/{name}": value for name, value in self.learner.drain_metrics().items()}
        return {**found, "sharing/updates": float(self.learner.updates)}

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimiser, not copied, and what data they are of."""
        return {"learner": self.learner.state_dict(), "problem": self.problem.identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``. Raises UserError when the data are others."""
        require_same_data(self.problem, state["problem"])
        self.learner.load_state_dict(copy.deepcopy(state["learner"]))

    def close(self) -> None:
        """Forget the rest."""
        self._untrained.clear()
        self._children.clear()
        self.alone.close()


def _shared_network(space: Space, sizes: Mapping[str, Any]) -> SharedMacro | SharedConvolutional:
    """One with fresh weights. Raises UserError where sizes do not fit, or it would be too large."""
    try:
        config = DesignedImageConfig(**sizes)
    except TypeError as error:
        raise UserError(f"--child-network does not fit space {space.name}: {error}") from error
    if not isinstance(space, Convolutional):
        return SharedMacro(config.in_channels, config.num_classes, config.channels or 32)

    def build() -> SharedConvolutional:
        return SharedConvolutional(
            config.in_channels,
            config.num_classes,
            space.depth,
            space.most_filters,
            space.side,
            space.skips,
        )

    with torch.device("meta"):  # sizes without numbers
        count = parameter_count(build())
    if count > MOST_PARAMETERS:
        raise UserError(
            f"the weights of all designs are {count:,}, more than {MOST_PARAMETERS:,}: give space "
            f"cnn fewer layers, heights, widths or filters"
        )
    return build()
