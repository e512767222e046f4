"""Options of architecture search, and settings that are known to work. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.nas.controller_config import ControllerConfig
from core.config import RunConfig, free, locked, warn
from core.errors import UserError, did_you_mean
from tasks.options import TrainingConfig, short_name

ZOO = "zoo"
"""The space of the registered networks, beside those of `envs/architecture/spaces.py`."""


@dataclass(frozen=True)
class ChildrenConfig:
    """How designs are trained to be scored."""

    data: str = warn("fashion-mnist")
    """What children learn: images as for `tengen train classify`; a text for the space rnn."""
    child_epochs: float = locked(1.0, over=0)
    """Times that a child sees every example."""
    retrain_epochs: float = free(0.0, at_least=0)
    """The same where a design is trained again from scratch to be tested; 0: as in the search."""
    child_network: str = locked("")
    """Sizes that a design leaves open: "channels=8 cells=1" of nb201, "width=128 layers=1
    dropout=0.2" of rnn."""
    child_batch_size: int = locked(64, at_least=1)
    """Examples per update."""
    child_optimiser: Literal["sgd", "adam", "adamw", "rmsprop_torch"] = locked("adamw")
    """Of the children."""
    child_learning_rate: float = locked(1e-3, over=0)
    """Highest step size."""
    child_schedule: Literal["constant", "linear", "cosine"] = locked("cosine")
    """How the step size falls after a child's first twentieth."""
    child_weight_decay: float = locked(0.0, at_least=0)
    """Of matrices and convolutions."""
    child_nesterov: bool = locked(False)
    """For sgd, whose momentum is 0.9: look ahead along it."""
    child_gradient_norm: float = locked(0.0, at_least=0)
    """Clip children's gradients to this norm; 0 for not at all."""
    child_shift: int = locked(0, at_least=0)
    """Move training images by up to so many pixels each way."""
    child_flip: bool = locked(False)
    """Mirror half of the training images."""
    child_context: int = locked(64, at_least=1)
    """Tokens that a language model sees at once."""
    child_tokenizer: Literal["characters", "bytes", "bpe"] = locked("characters")
    """What a token is."""
    at_once: int = free(0, at_least=0)
    """Children trained side by side, in processes of their own; 0: in this process, one by one."""
    child_seconds: float = warn(0.0, at_least=0)
    """A child that takes longer is given up; 0 for no limit."""
    child_memory: int = warn(0, at_least=0)
    """Megabytes that a child in a process of its own may take; 0 for no limit."""
    child_parameters: int = locked(0, at_least=0)
    """Larger networks are not trained; 0 for no limit."""
    rungs: int = locked(1, at_least=1)
    """Successive halving in so many rungs: after each, the better part of a batch trains on, and
    the last one ends at --child-epochs."""
    kept: float = locked(0.5, over=0, under=1)
    """The share of a batch that trains on after a rung; its epochs grow as the batch shrinks."""
    latency: bool = locked(False)
    """Measure the time of a forward pass."""
    shared_updates: int = locked(20, at_least=1)
    """For --evaluator shared: minibatches that the shared weights learn from before each batch of
    designs is scored."""
    shared_examples: int = locked(128, at_least=2)
    """Validation images on which a design is scored."""
    shared_candidates: int = free(10, at_least=1)
    """Designs that are drawn and ranked on all validation images at each evaluation; the best one
    is the best of the search."""

    @property
    def training(self) -> TrainingConfig:
        """As the tasks have it."""
        return TrainingConfig(
            batch_size=self.child_batch_size,
            epochs=self.child_epochs,
            optimiser=self.child_optimiser,
            learning_rate=self.child_learning_rate,
            schedule=self.child_schedule,
            weight_decay=self.child_weight_decay,
            nesterov=self.child_nesterov,
            max_gradient_norm=self.child_gradient_norm,
        )


OF_SINGLE_CHILDREN = (
    "at_once", "child_seconds", "child_memory", "child_parameters", "rungs", "latency",
)  # fmt: skip
"""Options that mean nothing where all designs share their weights."""

SHARED_SPACES = ("cnn", "macro")
"""Whose designs can share their weights."""


@dataclass(frozen=True)
class NASConfig:
    """Neural architecture search (Zoph & Le 2017). A step is a design that was scored."""

    space: str = locked("cnn")
    """What may be designed: cnn, rnn, nb201, macro, zoo (docs/nas.md)."""
    space_options: str = locked("")
    """Of the space, as JSON values: "layers=4 heights=[1,3] skips=false"."""
    searcher: Literal["controller", "random", "evolution", "local"] = locked("controller")
    """What proposes designs: a controller that learns, or one of its rivals."""
    evaluator: Literal["train", "shared", "table", "proxy"] = locked("train")
    """What scores them: a training on --data; weights that all designs share (ENAS; spaces cnn and
    macro); a table of published trainings; or a measure of the untrained network."""
    table: str = locked("nb201-cifar10")
    """Which table: nb201-cifar10, nb201-cifar100, nb201-imagenet16, macro-cifar10."""
    proxy: Literal["parameters", "synflow", "nwot", "jacov"] = locked("nwot")
    """Which measure."""
    population: int = locked(10, at_least=1)
    """Designs that evolution keeps: the newest."""
    tournament: int = locked(3, at_least=1)
    """Of them, drawn to find a parent: the best of these."""
    batch: int = locked(8, at_least=1)
    """Designs that are scored before the searcher learns."""
    rescore: bool = locked(False)
    """Score a design that is asked for again anew, as --evaluator shared always does; else its
    first score counts again."""
    compare: bool = locked(True)
    """Give random search as many designs, beside the searcher, and show both."""
    reward: Literal["identity", "cube", "inverse-perplexity", "inverse-perplexity-squared"] = (
        locked("identity")
    )
    """What a validation score is worth to the searcher."""
    reward_constant: float = locked(80.0, over=0)
    """c of c / perplexity."""
    latency_target: float = locked(0.0, at_least=0)
    """Seconds; the reward is multiplied by (latency / target) ^ w; 0: latency does not count."""
    latency_exponent: float = locked(-0.07)
    """w."""
    failure_reward: float = locked(0.0)
    """Of a child that diverged, ran out of time or memory, was too large or failed."""
    test_seeds: int = free(3, at_least=1)
    """Times that `tengen evaluate` trains the best design from scratch, to test it."""
    children: ChildrenConfig = field(default_factory=ChildrenConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """Space and data, as results name them."""
        if self.evaluator == "table":
            return self.table
        proxy = f"-{self.proxy}" if self.evaluator == "proxy" else ""
        return f"{self.space}-{short_name(self.children.data)}{proxy}"

    @property
    def network(self) -> str:
        """What results call the network."""
        return f"the best of the space {self.space}"

    @property
    def reads(self) -> bool:
        """Whether designs are language models; else they look at images."""
        options = options_of(self.space_options, "--space-options")
        return self.space == "rnn" or (self.space == ZOO and options.get("kind") == "language")

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        from envs.architecture.spaces import SPACES  # which numpy comes with

        known = (*SPACES, ZOO)
        if self.space not in known:
            raise UserError(
                f"there is no space of designs {self.space!r}{did_you_mean(self.space, known)} "
                f"(known: {', '.join(known)})"
            )
        if self.evaluator == "table" and self.table.partition("-")[0] != self.space:
            raise UserError(
                f"table {self.table} is of space {self.table.partition('-')[0]}, not of "
                f"{self.space}: give --space or --preset nb201"
            )
        options_of(self.space_options, "--space-options")
        if "design" in options_of(self.children.child_network, "--child-network"):
            raise UserError("--child-network has sizes: what the design is the search decides")
        if self.evaluator in ("train", "shared"):
            self.children.training.validate()
        if self.evaluator == "shared":
            self._validate_sharing()
        if (
            self.evaluator in ("train", "shared")
            and self.latency_target
            and not self.children.latency
        ):
            raise UserError("--latency-target needs --latency")
        if self.children.rungs > 1 and round(self.batch * self.children.kept) < 1:
            raise UserError(f"--kept {self.children.kept} keeps none of a --batch of {self.batch}")

    def _validate_sharing(self) -> None:
        if self.space not in SHARED_SPACES:
            raise UserError(
                f"--evaluator shared is for --space {' or '.join(SHARED_SPACES)}, not for "
                f"{self.space}"
            )
        if self.searcher not in ("controller", "random"):
            raise UserError(
                f"--evaluator shared needs a searcher that designs can be drawn from: controller "
                f"or random, not {self.searcher}"
            )
        if self.children.child_batch_size < 2:
            raise UserError(
                "--evaluator shared normalises by the batch: --child-batch-size 2 or more"
            )
        default = ChildrenConfig()
        for name in OF_SINGLE_CHILDREN:
            if getattr(self.children, name) != getattr(default, name):
                raise UserError(
                    f"--{name.replace('_', '-')} is of children that are trained one by one: not "
                    f"for --evaluator shared"
                )


def options_of(text: str, flag: str) -> dict[str, Any]:
    """Options from text such as 'layers=4 heights=[1,3]', given by a flag.

    Raises:
        UserError: it is no list of name=value with JSON values.
    """
    options: dict[str, Any] = {}
    for part in text.split():
        name, equals, value = part.partition("=")
        try:
            if not equals or not name.isidentifier() or name in options:
                raise ValueError
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            raise UserError(
                f"{flag} are name=value with blanks between them and values of JSON, each name "
                f"once; got {part!r}"
            ) from None
        options[name] = tuple(parsed) if isinstance(parsed, list) else parsed
    return options


DEFAULT_PRESET = "quick"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "quick": (
        "small convolutional networks for 8x8 digits, in minutes on two cores (default)",
        {
            "space_options": "layers=3 heights=[1,3,5] widths=[1,3,5] filters=[4,8,16]",
            "batch": 4,
            "children": {
                "data": "digits",
                "child_epochs": 2.0,
                "child_learning_rate": 1e-2,
                "at_once": 2,
                "child_seconds": 60.0,
                "retrain_epochs": 10.0,
            },
            "controller": {"learning_rate": 0.01, "entropy": 1e-3},
            "run": {"total_steps": 60, "log_seconds": 2.0, "threads": 1},
        },
    ),
    "enas-quick": (
        "shared weights (Pham et al. 2018) for 8x8 digits, in a minute on one core",
        {
            "space": "macro",
            "evaluator": "shared",
            "children": {
                "data": "digits",
                "child_network": "channels=4",
                "child_learning_rate": 1e-2,
                "child_epochs": 10.0,
            },
            "controller": {"learning_rate": 0.01, "entropy": 1e-3, "tanh_constant": 1.5},
            "run": {"total_steps": 320, "log_seconds": 2.0, "threads": 1},
        },
    ),
    "nb201": (
        "the published table of NAS-Bench-201: 500 designs in seconds",
        {
            "space": "nb201",
            "evaluator": "table",
            "rescore": True,
            "batch": 1,
            "controller": {"policy": "table", "learning_rate": 0.07, "ranks": 10.0},
            "run": {"total_steps": 500},
        },
    ),
    "nb201-lstm": (
        "the same by an LSTM that learns nearly as fast, in a minute",
        {
            "space": "nb201",
            "evaluator": "table",
            "rescore": True,
            "batch": 1,
            "controller": {"tied": False, "learning_rate": 3e-3, "ranks": 10.0, "entropy": 0.01},
            "run": {"total_steps": 500},
        },
    ),
    "zoph2017-cnn": (
        "the convolutional search of Zoph and Le 2017; hundreds of GPUs for weeks",
        {
            "space_options": "layers=20 growth=[6,2]",
            "reward": "cube",
            "children": {
                "child_epochs": 50.0,
                "child_batch_size": 128,
                "child_optimiser": "sgd",
                "child_nesterov": True,
                "child_learning_rate": 0.1,
                "child_weight_decay": 1e-4,
                "child_shift": 4,
                "child_flip": True,
                "at_once": 8,
            },
            "controller": {"deepen_every": 1600},
            "run": {"total_steps": 12_800},
        },
    ),
    "zoph2017-rnn": (
        "the recurrent cells of Zoph and Le 2017, on Jane Austen's characters; days on a GPU",
        {
            "space": "rnn",
            "reward": "inverse-perplexity-squared",
            "batch": 10,
            "children": {
                "data": "austen",
                "child_epochs": 35.0,
                "child_batch_size": 32,
                "child_network": "width=650 layers=2 dropout=0.5",
                "child_gradient_norm": 1.0,
                "at_once": 8,
            },
            "controller": {"learning_rate": 5e-4},
            "run": {"total_steps": 15_000},
        },
    ),
}
