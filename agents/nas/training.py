"""Trains children with the suite's own tasks. The test part is touched by ``test`` alone."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.nas.child import Job, Unfit
from agents.nas.config import ChildrenConfig, options_of
from core.agent import Assessment
from core.built import Built
from core.config import RunConfig
from core.errors import UserError
from core.files import checkpoint
from core.learner import Arithmetic, DivergedError
from networks.designed.build import build_designed
from tasks.building import SupervisedTask, parameter_count
from tasks.classify.config import ClassifyConfig
from tasks.classify.task import Classification
from tasks.lm.config import LanguageModelConfig
from tasks.lm.task import LanguageModelling

WARM_UPS, TIMED = 3, 11
LATENCY_EXAMPLES = 32


class DesignedImages(Classification):
    """Images, for the network of a design."""

    design: Mapping[str, Any] = {}
    sizes: Mapping[str, Any] = {}

    def build_network(self) -> nn.Module:
        """The design's network. Raises UserError or TypeError where it cannot be built."""
        fitted = {"in_channels": self.data.shape[0], "num_classes": len(self.data.classes)}
        return build_designed(self.design, **{**self.sizes, **fitted})

    def shown(self, examples: np.ndarray) -> Tensor:
        """Images by their numbers, float32 [B, C, H, W], as networks are shown them."""
        return self._normalised(torch.as_tensor(self.data.train.pixels[examples]))


class DesignedLanguage(LanguageModelling):
    """A text, for the network of a design."""

    design: Mapping[str, Any] = {}
    sizes: Mapping[str, Any] = {}

    def build_network(self) -> nn.Module:
        """The design's network. Raises UserError or TypeError where it cannot be built."""
        fitted = {"vocabulary": self.data.tokenizer.size}
        return build_designed(self.design, **{**self.sizes, **fitted})


class ChildTrainer:
    """Trains children on data that are read once."""

    def __init__(self, options: ChildrenConfig, recurrent: bool, arithmetic: Arithmetic) -> None:
        """Args:
        options: of the children.
        recurrent: whether they are language models.
        arithmetic: of all of them.

        Raises:
            UserError: the data are not here or damaged.
        """
        self.options = options
        self.arithmetic = arithmetic
        self.config = (_language_config if recurrent else _image_config)(options)
        self.problem: DesignedLanguage | DesignedImages
        if isinstance(self.config, LanguageModelConfig):
            self.problem = DesignedLanguage(self.config)
        else:
            self.problem = DesignedImages(self.config)
        self.problem.sizes = options_of(options.child_network, "--child-network")

    def network(self, design: Mapping[str, Any]) -> nn.Module:
        """The network of a design, untrained."""
        return self._designed(design).build_network()

    def _designed(self, design: Mapping[str, Any]) -> DesignedLanguage | DesignedImages:
        problem = copy.copy(self.problem)
        problem.design = design
        return problem

    def images(self, count: int) -> Tensor:
        """The first images to train on, as networks are shown them, float32 [count, C, H, W].

        Raises:
            UserError: they are no images.
        """
        if not isinstance(self.problem, DesignedImages):
            raise UserError("proxies look at images: a language model has none")
        return self.problem.shown(np.arange(count))

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

    def test(self, design: Mapping[str, Any], seeds: list[int]) -> list[dict[str, float]]:
        """Scores on the test part of networks trained from scratch, by name, one for each seed.

        Raises:
            UserError: the training diverged, or does not work.
        """
        found = []
        for seed in seeds:
            built = self._build(design, seed)
            assert built.run is not None
            steps = 0
            while steps < built.run.total_steps:
                steps += built.agent.advance(steps).agent_steps
            network: nn.Module = built.agent.network  # type: ignore[attr-defined]
            scored = self.problem.test(network.eval(), self.arithmetic, lambda: False)
            assert scored is not None
            found.append({**scored.scores, "parameters": float(built.facts["parameters"])})
        return found


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


def _image_config(options: ChildrenConfig) -> ClassifyConfig:
    return ClassifyConfig(
        data=options.data,
        shift=options.child_shift,
        flip=options.child_flip,
        training=options.training,
        run=RunConfig(),
    )


def _language_config(options: ChildrenConfig) -> LanguageModelConfig:
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
