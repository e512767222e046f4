"""Random shifts of images: Yarats et al. 2021, "Image augmentation is all you need" (DrQ),
arXiv 2004.13649, section 3.1. Each image of a batch is padded by copies of its border pixels and
cut out again at a random place; the frames of a stack are shifted alike.

Deviation: DrQ also averages targets and values over several shifts (K, M); here there is one each.

Legend: B batch, K frames stacked, H W plane, F numbers in a pixel of the stack.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel


def random_shift(rng: np.random.Generator, images: np.ndarray, pixels: int) -> np.ndarray:
    """Shift every image of a batch by up to ``pixels`` up or down, left or right.

    Args:
        rng: draws B rows of two whole numbers.
        images: [B, K, H, W] or [B, K, H, W, C], with K last in memory, as the replay draws them.
        pixels: most.

    Returns:
        The same in shape, dtype and layout.
    """
    stack_last = np.ascontiguousarray(np.moveaxis(images, 1, -1))  # [B, H, W, ..., K]
    by = rng.integers(-pixels, pixels + 1, (len(images), 2))
    shifted = np.empty_like(stack_last)
    rows = len(images), images.shape[2], -1
    _shift(stack_last.reshape(rows), by, images.shape[3], shifted.reshape(rows))
    return np.moveaxis(shifted, -1, 1)


@kernel
def _shift(source: np.ndarray, by: np.ndarray, width: int, out: np.ndarray) -> None:
    """Rows of W times F numbers, [B, H, W * F]: pixel (y, x) of ``out`` is pixel (y + by[b, 0],
    x + by[b, 1]) of ``source``, or the nearest there is."""
    batch, height, numbers = source.shape
    pixel = numbers // width
    for b in range(batch):
        move = min(max(by[b, 1], 1 - width), width - 1) * pixel
        first, last = max(-move, 0), min(numbers - move, numbers)
        for y in range(height):
            row = source[b, min(max(y + by[b, 0], 0), height - 1)]
            filled = out[b, y]
            # The middle as one piece: faster than pixel by pixel.
            filled[first:last] = row[first + move : last + move]
            for i in range(first):
                filled[i] = row[i % pixel]
            for i in range(last, numbers):
                filled[i] = row[numbers - pixel + i % pixel]
