"""How far made images are from data: the Fréchet distance of Heusel et al. 2017, arXiv 1706.08500,
in the features of a small classifier of our own.

Inception's features, which the published distances use, are of photographs. Here LeNet-5 learns the
data's own classes from the training part: the distance is between its F6, 84 features, of samples
and of held-out images. It is no FID, and only distances of one judge can be compared: it is trained
with a seed of its own, is the same for all runs on the same data and arithmetic, and is kept in
their checkpoints.

Legend: N images, C channels, H W plane, D features, K classes.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from networks.base import ImageNetwork
from networks.registry import build_network
from tasks.data.images import ImageSet
from tasks.epochs import Epochs
from tasks.problem import Stop

JUDGE = "lenet5"
EXAMPLES = 120_000
"""That the judge learns from; a small set comes often."""
BATCH, LEARNING_RATE, SEED = 64, 2e-3, 0
AT_ONCE = 500


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of features [N, D], N of each its own, 2 or more.

    The trace of the root is that of a symmetric matrix, (C1^(1/2) C2 C1^(1/2))^(1/2).
    """
    means = [features.mean(axis=0, dtype=np.float64) for features in (first, second)]
    one, two = (np.cov(features.astype(np.float64), rowvar=False) for features in (first, second))
    values, vectors = np.linalg.eigh(one)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0)).sum()
    gap = np.square(means[0] - means[1]).sum()
    return float(max(0.0, gap + np.trace(one) + np.trace(two) - 2 * shared))


class Judge:
    """A classifier of the data's classes."""

    def __init__(self, data: ImageSet) -> None:
        """Untrained."""
        self.data = data
        self.network = self._untrained()
        self.ready = False

    def _untrained(self) -> ImageNetwork:
        channels, height, width = self.data.shape
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            network = build_network(
                JUDGE,
                num_classes=len(self.data.classes),
                in_channels=channels,
                image_size=(height, width),
            )
        assert isinstance(network, ImageNetwork)
        return network

    def learn(self, stop: Stop) -> bool:
        """Learn the training part, unless that is done; False where it was stopped."""
        if self.ready:
            return True
        train, self.network = self.data.train, self._untrained()
        size = min(BATCH, len(train))
        epochs = Epochs(size, len(train), SEED)
        rate = LEARNING_RATE * min(1.0, len(train) / 5000)  # small sets are gone over often
        optimiser = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.network.train()
        for dealt in range(0, min(EXAMPLES, 12 * len(train)), size):
            if stop():
                return False
            rows = epochs.batch(dealt)
            logits = self.network(scaled(train.pixels[rows]))
            loss = F.cross_entropy(logits, torch.from_numpy(train.labels[rows]))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        self.ready = True
        return True

    @torch.no_grad()
    def features(self, images: np.ndarray, stop: Stop) -> tuple[np.ndarray, np.ndarray] | None:
        """F6 float32 [N, D] and the classes told, int64 [N], of images float32 [N, C, H, W] of -1
        to 1 or uint8; None where it was stopped."""
        network = self.network.eval()
        features, told = [], []
        for first in range(0, len(images), AT_ONCE):
            if stop():
                return None
            batch = scaled(images[first : first + AT_ONCE])
            features.append(network.forward_features(batch).numpy())
            told.append(network(batch).argmax(dim=1).numpy())
        return np.concatenate(features), np.concatenate(told)


def scaled(images: np.ndarray) -> Tensor:
    """Pixels uint8 as float32 of -1 to 1; float32 as they are."""
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 127.5 - 1
    return torch.from_numpy(images)
