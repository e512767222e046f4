"""When networks grow, and what they are shown meanwhile: Karras et al. 2017, arXiv 1710.10196.

    4x4 alone | 8x8 fades in | 8x8 alone | 16x16 fades in | 16x16 alone ...    a phase each

Legend: B batch, C channels, H W plane.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from networks.base import Growth


def growth_at(update: int, levels: int, phase_updates: int) -> Growth | None:
    """How far networks of so many levels have grown after `update` updates; None for those that do
    not grow, or are fully grown from the beginning."""
    if levels == 1 or not phase_updates:
        return None
    phase, within = divmod(update, phase_updates)
    level = (phase + 1) // 2
    if level >= levels:
        return Growth(levels - 1)
    fades = phase % 2 == 1
    # Never quite 0: the newest layers would learn nothing in that update.
    return Growth(level, (within + 1) / phase_updates if fades else 1.0)


def prepared(images: Tensor, growth: Growth | None) -> Tensor:
    """Images [B, C, H, W] at the size of a level, as sharp as what is faded in by now; other
    samples as they are."""
    if growth is None:
        return images
    side = 4 << growth.level
    images = avg_pool2d(images, images.shape[2] // side)
    if growth.alpha == 1:
        return images
    blurred = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="nearest")
    return blurred.lerp(images, growth.alpha)
