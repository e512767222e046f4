"""Options of image classification, and settings that are quick on a processor. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config import RunConfig, locked, warn
from tasks.options import TrainingConfig, short_name


@dataclass(frozen=True)
class ClassifyConfig:
    """Classification of images. A step is an example."""

    data: str = warn("fashion-mnist")
    """fashion-mnist, mnist5k, digits, or a folder of images: FOLDER/CLASS/*.png or *.jpg."""
    network: str = locked("lenet5")
    """Any network of kind image (see: tengen networks)."""
    network_options: str = locked("")
    """Changes to its options, such as "blocks=2 widths=8,16,32"."""
    weights: str = warn("")
    """Safetensors file to start from: the reference implementation's weights, or ours."""
    shift: int = warn(0, at_least=0)
    """Move training images by up to so many pixels each way, with black coming in."""
    flip: bool = warn(False)
    """Mirror half of the training images, left and right."""
    cutout: int = warn(0, at_least=0)
    """Side of a square of the mean colour put into training images (DeVries & Taylor 2017)."""
    label_noise: float = locked(0.0, at_least=0, at_most=1)
    """Share of the training labels replaced, once, by any class at random."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """The data, as results name them."""
        return short_name(self.data)


DEFAULT_PRESET = "fashion-lenet"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "fashion-lenet": (
        "LeNet-5 on Fashion-MNIST (default)",
        {"training": {"epochs": 12.0, "batch_size": 64, "learning_rate": 2e-3}},
    ),
    "fashion-resnet": (
        "a ResNet of 8 layers on Fashion-MNIST: shifts and flips, SGD",
        {
            "network": "resnet20",
            "network_options": "blocks=1",
            "shift": 2,
            "flip": True,
            "training": {
                "epochs": 20.0,
                "batch_size": 128,
                "optimiser": "sgd",
                "nesterov": True,
                "learning_rate": 0.1,
                "weight_decay": 5e-4,
            },
        },
    ),
    "digits": (
        "scikit-learn's 8x8 digits in seconds: a first look, and a check that all works",
        {
            "data": "digits",
            "network": "resnet20",
            "network_options": "blocks=1",
            "training": {"epochs": 5.0, "batch_size": 32, "learning_rate": 5e-3},
            "run": {"log_seconds": 1.0},
        },
    ),
}
