"""Options of generative adversarial training. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.config import RunConfig, free, locked, warn
from core.errors import UserError
from tasks.options import short_name

POINTS = ("ring", "grid")
"""Data that are drawn, not read."""


@dataclass(frozen=True)
class GANConfig:
    """A generator against a critic. A step is an update of the generator."""

    data: str = warn("ring")
    """ring (8 Gaussians in the plane), grid (25), or images: fashion-mnist, mnist5k, digits, or a
    folder FOLDER/CLASS/*.png."""
    deviation: float = locked(0.0, at_least=0)
    """Of the Gaussians of ring and grid; 0 for their own, 0.02 and 0.05."""
    model: str = locked("gan")
    """Any network of kind generator (see: tengen networks)."""
    network_options: str = locked("")
    """Changes to its options, such as "noise=2 hidden=512,512"."""
    objective: Literal["minimax", "non_saturating", "wgan", "wgan_gp"] = locked("non_saturating")
    """What both minimise: the first two of Goodfellow et al. 2014; WGAN with clipped weights, or
    with a gradient penalty."""
    clip: float = warn(0.01, over=0)
    """Largest weight of a critic of wgan."""
    gradient_penalty: float = warn(10.0, at_least=0)
    """Weight of the penalty of wgan_gp."""
    r1: float = warn(0.0, at_least=0)
    """Weight of the R1 penalty, gamma of Mescheder et al. 2018; with any objective."""
    drift: float = warn(0.0, at_least=0)
    """Weight of the squared scores of data (Karras et al. 2017: 0.001)."""
    critic_updates: int = locked(1, at_least=1, at_most=1000)
    """Of the critic for each of the generator."""
    batch_size: int = locked(256, at_least=1)
    """Samples, and examples, of an update."""
    optimiser: Literal["adam", "rmsprop_torch"] = locked("adam")
    """Of both."""
    learning_rate: float = warn(1e-3, over=0)
    """Of both; it stays."""
    critic_learning_rate: float = warn(0.0, at_least=0)
    """Of the critic, where it has one of its own; 0 for that of both."""
    beta1: float = locked(0.5, at_least=0, under=1)
    """Decay of adam's first moment, a step."""
    beta2: float = locked(0.99, at_least=0, under=1)
    """Decay of adam's second moment, a step."""
    averaging: float = locked(0.0, at_least=0, under=1)
    """Decay, an update, of the average of the generator's weights that is scored; 0 scores the
    newest weights."""
    phase_updates: int = locked(0, at_least=0)
    """Updates in which a network that grows has one size, and in which the next is faded in; 0 for
    the full size from the beginning."""
    samples: int = free(2500, at_least=2)
    """Drawn for each evaluation."""
    truncation: float = free(1.0, at_least=0, at_most=1)
    """Of StyleGAN's styles in an evaluation: less is nearer to the mean."""
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """The data, as results name them."""
        return short_name(self.data)

    @property
    def network(self) -> str:
        """The model, as results name it."""
        return self.model

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        if self.deviation and self.data not in POINTS:
            raise UserError("--deviation is for --data ring and --data grid")


POINT_OBJECTIVES: dict[str, Mapping[str, Any]] = {
    "non_saturating": {},
    "minimax": {},
    "wgan": {"critic_updates": 5, "optimiser": "rmsprop_torch", "learning_rate": 5e-4,
             "clip": 0.05},
    "wgan_gp": {"critic_updates": 5, "beta2": 0.9},
}  # fmt: skip
"""What each objective is trained with on points."""


def _points(data: str, updates: int) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """A preset for each objective."""
    run = {"total_steps": updates, "evaluate_every": updates // 10}
    presets: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for objective, settings in POINT_OBJECTIVES.items():
        name = data if objective == "non_saturating" else f"{data}-{objective.replace('_', '-')}"
        what = {"data": data, "objective": objective, "averaging": 0.995, **settings, "run": run}
        presets[name] = (f"{objective} on the {data} of Gaussians", what)
    return presets


DCGAN: Mapping[str, Any] = {
    "data": "fashion-mnist", "model": "dcgan", "network_options": "width=32 noise=64",
    "batch_size": 64, "learning_rate": 5e-4, "beta2": 0.999, "averaging": 0.99,
    "run": {"total_steps": 2000, "evaluate_every": 250},
}  # fmt: skip
WGAN_GP: Mapping[str, Any] = {
    **DCGAN, "network_options": "width=32 noise=64 critic_normalisation=none",
    "objective": "wgan_gp", "critic_updates": 3, "beta1": 0.0, "beta2": 0.9,
    "run": {"total_steps": 1000, "evaluate_every": 125},
}  # fmt: skip
STYLEGAN: Mapping[str, Any] = {
    "data": "fashion-mnist", "model": "stylegan", "batch_size": 16,
    "network_options": "base=256 widest=64 noise=64 style=64 mapping_layers=4",
    "r1": 10.0, "learning_rate": 2e-3, "beta1": 0.0, "averaging": 0.99, "phase_updates": 200,
    "run": {"total_steps": 8000, "evaluate_every": 1000},
}  # fmt: skip
PROGRESSIVE: Mapping[str, Any] = {
    **STYLEGAN, "model": "progressive", "network_options": "base=256 widest=64 noise=64",
    "objective": "wgan_gp", "r1": 0.0, "drift": 1e-3,
}  # fmt: skip

DEFAULT_PRESET = "ring"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    **_points("ring", 3000),
    **_points("grid", 5000),
    "fashion-dcgan": ("DCGAN at 28 pixels on Fashion-MNIST", DCGAN),
    "fashion-wgan-gp": ("its networks as WGAN-GP, no normalisation in the critic", WGAN_GP),
    "fashion-progressive": ("progressive growing from 4 to 32 pixels", PROGRESSIVE),
    "fashion-stylegan": ("StyleGAN grown from 4 to 32 pixels", STYLEGAN),
}
