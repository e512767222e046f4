"""What a set of images is once it has been read.

Legend: N images, C channels, H W plane, K classes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """Images with the classes they belong to."""

    pixels: np.ndarray
    """uint8 [N, C, H, W]."""
    labels: np.ndarray
    """int64 [N], 0 to K - 1."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageSet:
    """A classified set of images in three parts that share none."""

    name: str
    licence: str
    classes: tuple[str, ...]
    train: Images
    validation: Images
    test: Images

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        _, channels, height, width = self.train.pixels.shape
        return channels, height, width

    def digest(self) -> str:
        """Changes with any pixel or label."""
        found = hashlib.sha256(repr((self.shape, self.classes)).encode())
        for part in (self.train, self.validation, self.test):
            found.update(np.ascontiguousarray(part.pixels).data)
            found.update(np.ascontiguousarray(part.labels).data)
        return found.hexdigest()


def split(pixels: np.ndarray, labels: np.ndarray, validation: int, test: int) -> list[Images]:
    """Train, validation and test of a set that comes in one piece, always the same.

    Args:
        pixels: uint8 [N, C, H, W].
        labels: int64 [N].
        validation, test: how many images; the rest trains.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    ends = [len(order) - validation - test, len(order) - test]
    return [Images(pixels[part], labels[part]) for part in np.split(order, ends)]
