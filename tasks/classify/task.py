"""Image classification: cross-entropy, accuracy, the confusion matrix.

Legend: B images, C channels, H W plane, K classes, N images of a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.agent import Assessment
from core.learner import Arithmetic
from networks.base import ImageNetwork
from tasks.classify.augment import cutout, flip, noisy_labels, shift
from tasks.classify.config import ClassifyConfig
from tasks.confusion import assess_confusions, count_confusions, score_confusions
from tasks.data.image_sets import load_images
from tasks.data.images import Images
from tasks.network_options import build_fitted
from tasks.pictures import confusion_matrix, grid
from tasks.problem import Scored, Stop

BATCH = 256
"""Images of one forward pass when scoring."""
SHOWN = 32


class Classification:
    """The images, augmented for training, and how well their classes are told."""

    def __init__(self, config: ClassifyConfig) -> None:
        """Read the data. Raises UserError when they are not here or damaged."""
        self.config = config
        self.data = load_images(config.data)
        self.num_examples = len(self.data.train)
        self.labels = self.data.train.labels
        if config.label_noise:
            self.labels = noisy_labels(
                self.labels, len(self.data.classes), config.label_noise, config.run.seed
            )
        pixels = self.data.train.pixels
        # By sums of whole numbers, which do not depend on the order of adding.
        count = pixels.shape[0] * pixels.shape[2] * pixels.shape[3]
        shades = np.stack([np.bincount(pixels[:, c].ravel(), minlength=256)
                           for c in range(pixels.shape[1])])  # fmt: skip
        self.mean = shades @ np.arange(256) / count  # [C]
        variance = shades @ np.arange(256) ** 2 / count - self.mean**2
        self.deviation = np.sqrt(np.maximum(variance, 1.0))
        self._found: dict[str, np.ndarray] = {}

    def build_network(self) -> nn.Module:
        """The network for images of this size and so many classes.

        Raises:
            UserError: it cannot take them.
        """
        channels, height, width = self.data.shape
        fitted = {
            "num_classes": len(self.data.classes),
            "in_channels": channels,
            "image_size": (height, width),
        }
        config = self.config
        network = build_fitted(config.network, "image", config.network_options, fitted)
        assert isinstance(network, ImageNetwork)
        network.require_size(config.network, height, width)
        return network

    def batch(self, examples: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Augmented pixels uint8 [B, C, H, W] and labels int64 [B]."""
        pixels = self.data.train.pixels[examples]
        if self.config.flip:
            pixels = flip(pixels, random)
        if self.config.shift:
            pixels = shift(pixels, self.config.shift, random)
        if self.config.cutout:
            pixels = cutout(pixels, self.config.cutout, self.mean, random)
        return {"pixels": pixels, "labels": self.labels[examples]}

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy with label smoothing, that of auxiliary classifiers included, and the
        accuracy of the last one."""
        assert isinstance(network, ImageNetwork)
        smoothing, labels = self.config.training.label_smoothing, batch["labels"]
        logits, auxiliary = network.logits_and_auxiliary(self._normalised(batch["pixels"]))
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        right = (logits.detach().argmax(dim=1) == labels).float()
        metrics = {"accuracy": right.mean()}
        if auxiliary:
            metrics["last_classifier_loss"] = loss.detach()
        for other in auxiliary:
            auxiliary_loss = F.cross_entropy(other.float(), labels, label_smoothing=smoothing)
            loss = loss + network.auxiliary_weight * auxiliary_loss
        return loss, metrics

    def _normalised(self, pixels: Tensor) -> Tensor:
        """Pixels uint8 [B, C, H, W] as float32 of mean 0 and deviation 1 in each channel."""
        mean, deviation = (
            torch.tensor(values, dtype=torch.float32, device=pixels.device)[:, None, None]
            for values in (self.mean, self.deviation)
        )
        return (pixels.float() - mean) / deviation

    def validate(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Assessment | None:
        """Accuracy on the validation part."""
        found = self._predict(network, arithmetic, self.data.validation, stop)
        if found is None:
            return None
        predicted, loss = found
        counts = count_confusions(self.data.validation.labels, predicted, len(self.data.classes))
        self._found = {"validation/confusion": confusion_matrix(counts, self.data.classes)}
        return assess_confusions(counts, loss)

    def test(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Scored | None:
        """Accuracy on the test part, of all classes and of each, and the confusion matrix."""
        part, classes = self.data.test, self.data.classes
        found = self._predict(network, arithmetic, part, stop)
        if found is None:
            return None
        counts = count_confusions(part.labels, found[0], len(classes))
        return score_confusions(counts, found[1], classes, "images")

    @torch.no_grad()
    def _predict(
        self, network: nn.Module, arithmetic: Arithmetic, part: Images, stop: Stop
    ) -> tuple[np.ndarray, float] | None:
        """Predicted classes int64 [N] and the mean loss; None where it was stopped."""
        predicted, loss = np.empty(len(part), np.int64), 0.0
        for first in range(0, len(part), BATCH):
            if stop():
                return None
            rows = slice(first, first + BATCH)
            with arithmetic.autocast():
                pixels = arithmetic.tensor(part.pixels[rows])
                logits = network(self._normalised(pixels)).float()  # [B, K]
            labels = arithmetic.tensor(part.labels[rows])
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            predicted[rows] = logits.argmax(dim=1).cpu().numpy()
        return predicted, loss / len(part)

    def pictures(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Images as the network is shown them, and the confusion matrix of the validation."""
        return {"training/batch": grid(batch["pixels"][:SHOWN]), **self._found}

    def identity(self) -> dict[str, Any]:
        """The data's digest."""
        return {"data": self.data.digest()}

    def describe(self) -> list[str]:
        """Sizes and licence."""
        data = self.data
        channels, height, width = data.shape
        return [
            f"{data.name}: {len(data.train):,} images to train on, {len(data.validation):,} for "
            f"validation, {len(data.test):,} for the test; {height}x{width} pixels, {channels} "
            f"channel{'s' * (channels > 1)}, {len(data.classes)} classes; licence: {data.licence}"
        ]
