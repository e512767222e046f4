"""Trains children with the suite's own tasks. The test part is touched by ``test`` alone."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.nas.child import Job, Unfit
from agents.nas.config import ChildrenConfig, options_of
from core.agent import Assessment
from core.built import Built
from core.config import RunConfig, field_types, require_type
from core.errors import UserError, did_you_mean
from core.files import checkpoint
from core.learner import Arithmetic, DivergedError
from core.report.progress import Progress
from networks.designed.build import DesignedImageConfig, DesignedLanguageConfig, build_designed
from tasks.building import SupervisedTask, parameter_count
from tasks.classify.config import ClassifyConfig
from tasks.classify.task import Classification
from tasks.lm.config import LanguageModelConfig
from tasks.lm.task import LanguageModelling
from tasks.problem import Stop

WARM_UPS, TIMED = 3, 11
LATENCY_EXAMPLES = 32


class DesignedImages(Classification):
    """Images, for the network of a design."""

    design: Mapping[str, Any] = {}
    sizes: Mapping[str, Any] = {}

    def network_sizes(self) -> dict[str, Any]:
        """What a design leaves open, by the options and the data."""
        channels, *plane = self.data.shape
        fitted = {"in_channels": channels, "num_classes": len(self.data.classes)}
        return {**self.sizes, **fitted, "image_size": tuple(plane)}

    def build_network(self) -> nn.Module:
        """The design's network. Raises UserError or TypeError where it cannot be built."""
        return build_designed(self.design, **self.network_sizes())

    def inputs(self) -> dict[str, Any]:
        """What one needs to know to show the network images of one's own, as JSON."""
        channels, height, width = self.data.shape
        mean, deviation = ((values / 255).tolist() for values in (self.mean, self.deviation))
        return {
            "shape": [channels, height, width],
            "pixels": "from 0 (black) to 1, minus mean, over deviation, for each channel",
            "mean": mean,
            "deviation": deviation,
            "classes": list(self.data.classes),
        }

    def shown(self, examples: np.ndarray) -> Tensor:
        """Images by their numbers, float32 [B, C, H, W], as networks are shown them."""
        return self._normalised(torch.as_tensor(self.data.train.pixels[examples]))


class DesignedLanguage(LanguageModelling):
    """A text, for the network of a design."""

    design: Mapping[str, Any] = {}
    sizes: Mapping[str, Any] = {}

    def network_sizes(self) -> dict[str, Any]:
        """What a design leaves open, by the options and the data."""
        fitted = {"vocabulary": self.data.tokenizer.size}
        return {**self.sizes, **fitted, "context_length": self.config.context_length}

    def inputs(self) -> dict[str, Any]:
        """What one needs to know to have the network read a text of one's own, as JSON."""
        tokenizer = self.data.tokenizer
        texts = [tokenizer.decode([token]) for token in range(tokenizer.size)]
        return {"tokenizer": self.config.tokenizer, "texts of the tokens 0, 1, ...": texts}

    def build_network(self) -> nn.Module:
        """The design's network. Raises UserError or TypeError where it cannot be built."""
        return build_designed(self.design, **self.network_sizes())


@dataclass(frozen=True)
class Tested:
    """A design trained from scratch, and what it is worth on the test part."""

    network: nn.Module
    """In evaluation mode."""
    scores: Mapping[str, float]
    """By name; "parameters" among them."""


class ChildTrainer:
    """Trains children on data that are read once."""

    def __init__(self, options: ChildrenConfig, language: bool, arithmetic: Arithmetic) -> None:
        """Args:
        options: of the children.
        language: whether they are language models.
        arithmetic: of all of them.

        Raises:
            UserError: the data are not here or damaged.
        """
        self.options = options
        self.arithmetic = arithmetic
        self.config = (language_config if language else image_config)(options)
        self.problem: DesignedLanguage | DesignedImages
        if isinstance(self.config, LanguageModelConfig):
            self.problem = DesignedLanguage(self.config)
        else:
            self.problem = DesignedImages(self.config)
        kind = DesignedLanguageConfig if language else DesignedImageConfig
        self.problem.sizes = _sizes(options.child_network, kind, self.problem.network_sizes())

    def network(self, design: Mapping[str, Any]) -> nn.Module:
        """The network of a design, untrained."""
        return self._designed(design).build_network()

    def _designed(self, design: Mapping[str, Any]) -> DesignedLanguage | DesignedImages:
        problem = copy.copy(self.problem)
        problem.design = design
        return problem

    def images(self, count: int) -> Tensor:
        """Images to train on, always the same, as networks are shown them: float32 [N, C, H, W], N
        at most ``count``.

        Raises:
            UserError: they are no images.
        """
        if not isinstance(self.problem, DesignedImages):
            raise UserError("proxies look at images: a language model has none")
        mixed = np.random.default_rng(0).permutation(self.problem.num_examples)
        return self.problem.shown(mixed[:count])

    def train(self, job: Job) -> Iterator[Mapping[str, float] | None]:
        """Train and score a child: None after each update, in the end the metrics.

        Raises:
            Unfit: it is too large, diverged, or takes too long.
            Exception: whatever a network that does not work brings about.
        """
        started, limit = time.monotonic(), self.options.child_seconds

        def is_late() -> bool:
            return bool(limit) and time.monotonic() - started > limit

        saved = _saved(job)
        if saved is not None and saved.identity["until"] == job.until:
            yield saved.identity["metrics"]
            return
        built = self._build(job.design, job.seed)
        steps = 0
        if saved is not None:
            built.agent.load_state_dict(saved.state)
            torch.set_rng_state(torch.as_tensor(saved.state["torch_rng"]))
            steps = saved.step
        assert built.run is not None
        assessment: Assessment | None = None
        try:
            while steps < round(built.run.total_steps * job.until) and not is_late():
                steps += built.agent.advance(steps).agent_steps
                yield None
            assessment = built.task.evaluate(steps, 0, is_late)
        except DivergedError as error:
            raise Unfit("diverged", str(error)) from error
        if assessment is None or is_late():
            raise Unfit("out of time", f"over {limit:g} seconds")
        metrics = self._metrics(built, assessment, job)
        if job.folder:
            _save(job, built, steps, metrics)
        yield metrics

    def _build(self, design: Mapping[str, Any], seed: int) -> Built:
        """Raises Unfit where it is too large, before anything is allocated."""
        problem = self._designed(design)
        if self.options.child_parameters:
            with torch.device("meta"):  # sizes without numbers
                count = parameter_count(problem.build_network())
            if count > self.options.child_parameters:
                raise Unfit("too large", f"{count:,} parameters")
        config = replace(self.config, run=replace(self.config.run, seed=seed))
        return SupervisedTask(lambda _: problem).build(config, Path(), _ignore, self.arithmetic)

    def _metrics(self, built: Built, assessment: Assessment, job: Job) -> dict[str, float]:
        """Raises Unfit for a score that is not finite."""
        score = assessment.best_by
        if "validation/perplexity" in assessment.scalars:
            score = -math.log(assessment.scalars["validation/perplexity"])
        losses = [v for name, v in assessment.scalars.items() if name.endswith("loss")]
        if not np.isfinite([score, *losses]).all():
            raise Unfit("diverged", "the validation loss is not finite")
        metrics = {
            "score": score,
            "parameters": float(built.facts["parameters"]),
            "epochs": self.options.child_epochs * job.until,
        }
        if self.options.latency:
            metrics["latency"] = self._latency(built)
        return metrics

    def _latency(self, built: Built) -> float:
        """Median seconds of a forward pass of a batch, after a few to warm up."""
        network: nn.Module = built.agent.network  # type: ignore[attr-defined]
        examples = np.arange(min(LATENCY_EXAMPLES, self.problem.num_examples))
        batch = self.problem.batch(examples, np.random.default_rng(0))
        tensors = {name: self.arithmetic.tensor(array) for name, array in batch.items()}
        taken = []
        network.eval()
        with torch.no_grad(), self.arithmetic.autocast():
            for _ in range(WARM_UPS + TIMED):
                begun = time.perf_counter()
                float(self.problem.loss(network, tensors)[0])  # waits for a GPU
                taken.append(time.perf_counter() - begun)
        return float(np.median(taken[WARM_UPS:]))

    def test(
        self, design: Mapping[str, Any], seeds: Sequence[int], stop: Stop
    ) -> list[Tested] | None:
        """Train a design from scratch, once for each seed, and score it on the test part.

        Args:
            design: of the space.
            seeds: of the trainings.
            stop: asked after each update.

        Returns:
            Networks and scores, in the order of seeds; None where it was stopped.

        Raises:
            UserError: the training diverged, or does not work.
        """
        found: list[Tested] = []
        progress = Progress()
        for number, seed in enumerate(seeds, start=1):
            built = self._build(design, seed)
            assert built.run is not None
            steps, total = 0, built.run.total_steps
            while steps < total and not stop():
                steps += built.agent.advance(steps).agent_steps
                progress.line(
                    f"training from scratch, {number} of {len(seeds)}: {steps:,} of {total:,} "
                    f"examples"
                )
            progress.clear()
            network: nn.Module = built.agent.network  # type: ignore[attr-defined]
            scored = self.problem.test(network.eval(), self.arithmetic, stop)
            if scored is None or stop():
                return None
            parameters = {"parameters": float(built.facts["parameters"])}
            found.append(Tested(network, {**scored.scores, **parameters}))
        return found


def _sizes(text: str, kind: type, decided: Mapping[str, Any]) -> dict[str, Any]:
    """What `--child-network` says of a design's network.

    Raises:
        UserError: there is no such option, the data decide it, or it has another type.
    """
    sizes, types = options_of(text, "--child-network"), field_types(kind)
    free = [name for name in types if name != "design" and name not in decided]
    for name, value in sizes.items():
        if name not in free:
            raise UserError(
                f"--child-network has no option {name!r}{did_you_mean(name, free)} (it has: "
                f"{', '.join(free)})"
            )
        sizes[name] = require_type(value, types[name], f"--child-network: {name}")
    return sizes


def make_trainer(
    options: Mapping[str, Any], language: bool, arithmetic: Mapping[str, Any]
) -> ChildTrainer:
    """In a process of children. Raises UserError when the data are not here."""
    return ChildTrainer(ChildrenConfig(**options), language, Arithmetic(**arithmetic))


def _saved(job: Job) -> checkpoint.Checkpoint | None:
    """A child that was trained before, to this rung or the one below."""
    if not job.folder or not Path(job.folder).is_dir():
        return None
    try:
        saved = checkpoint.load(Path(job.folder))
    except UserError:  # killed while it was saved for the first time
        return None
    return saved if saved.identity["seed"] == job.seed else None


def _save(job: Job, built: Built, steps: int, metrics: dict[str, float]) -> None:
    state = {**built.agent.state_dict(), "torch_rng": torch.get_rng_state()}
    facts = {"until": job.until, "seed": job.seed, "metrics": metrics}
    checkpoint.save(Path(job.folder), steps, state, identity=facts, keep=1)


def image_config(options: ChildrenConfig) -> ClassifyConfig:
    """Children's options as `tengen train classify` has them."""
    return ClassifyConfig(
        data=options.data,
        shift=options.child_shift,
        flip=options.child_flip,
        training=options.training,
        run=RunConfig(),
    )


def language_config(options: ChildrenConfig) -> LanguageModelConfig:
    """Children's options as `tengen train lm` has them."""
    return LanguageModelConfig(
        data=options.data,
        tokenizer=options.child_tokenizer,
        context_length=options.child_context,
        sample_tokens=0,
        training=options.training,
        run=RunConfig(),
    )


def _ignore(line: str) -> None:
    """The data are told of once, not for every child."""
