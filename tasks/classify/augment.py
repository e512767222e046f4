"""Training images changed at random, so that a network cannot learn them by heart.

Legend: B images, C channels, H W plane.
"""

from __future__ import annotations

import numpy as np


def shift(pixels: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """Move each image by up to `most` pixels along both axes; zeros come in.

    Takes and returns [B, C, H, W].
    """
    height, width = pixels.shape[2:]
    padded = np.pad(pixels, ((0, 0), (0, 0), (most, most), (most, most)))
    offsets = random.integers(0, 2 * most + 1, (2, len(pixels), 1))
    rows = offsets[0] + np.arange(height)  # [B, H]
    columns = offsets[1] + np.arange(width)  # [B, W]
    images = np.arange(len(pixels))[:, None, None]
    moved = padded.transpose(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]]
    return np.ascontiguousarray(moved.transpose(0, 3, 1, 2))


def flip(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mirror every second image, by chance, left and right. Takes and returns [B, C, H, W]."""
    mirrored = random.random(len(pixels)) < 0.5
    return np.where(mirrored[:, None, None, None], pixels[:, :, :, ::-1], pixels)


def cutout(
    pixels: np.ndarray, side: int, colour: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Cover a square in each image: DeVries & Taylor 2017, arXiv 1708.04552.

    Args:
        pixels: [B, C, H, W].
        side: of the square; its centre is anywhere in the image, so a part may lie outside.
        colour: [C], of the square.
        random: where the centres come from.
    """
    height, width = pixels.shape[2:]
    top = random.integers(0, height, len(pixels)) - side // 2
    left = random.integers(0, width, len(pixels)) - side // 2
    rows = np.arange(height) - top[:, None]  # [B, H]
    columns = np.arange(width) - left[:, None]  # [B, W]
    covered = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[
        :, None, :
    ]  # [B, H, W]
    return np.where(covered[:, None], colour[:, None, None].astype(pixels.dtype), pixels)


def noisy_labels(labels: np.ndarray, classes: int, share: float, seed: int) -> np.ndarray:
    """Labels of which a share was replaced by any class, the right one included; int64 [N].

    Exactly that share, rounded, as in Nakkiran et al. 2019, arXiv 1912.02292.
    """
    random = np.random.default_rng([seed, 0x4E01])
    chosen = random.permutation(len(labels))[: round(share * len(labels))]
    noisy = labels.copy()
    noisy[chosen] = random.integers(0, classes, len(chosen))
    return noisy
