"""What each layer of a StyleGAN decides: images of two styles each (Karras et al. 2018, figure 3).

Legend: Z noise, S styled layers, W style.
"""

from __future__ import annotations

import numpy as np
import torch

from networks.base import Growth
from networks.generators.stylegan import StyleGANGenerator, mixed
from tasks.gan.images import as_pixels
from tasks.pictures import grid

COLUMNS = 6
"""Images whose later layers are taken; of as many rows the earlier layers are."""


@torch.no_grad()
def mixing_table(
    generator: StyleGANGenerator, growth: Growth, crossover: int, truncation: float, seed: int
) -> np.ndarray:
    """A table whose first row and first column are images; those within have the styles of the
    row's image before layer number `crossover`, from it on those of the column's.

    Returns:
        uint8 [H, W] or [H, W, 3].
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        noise = torch.randn(2 * COLUMNS, generator.noise_features)
        styles = generator.styles(noise.to(generator.constant.device), truncation)
        rows, columns = styles.chunk(2)  # [COLUMNS, S, W]
        places = torch.full((COLUMNS,), crossover, device=styles.device)
        table = [mixed(row.expand_as(columns), columns, places) for row in rows]
        lines = [
            columns,
            *(torch.cat([row[None], line]) for row, line in zip(rows, table, strict=True)),
        ]
        images = generator.synthesise(torch.cat(lines), growth).cpu().numpy()
    pixels = as_pixels(images)
    corner = np.full_like(pixels[:1], 40)
    return grid(np.concatenate([corner, pixels]), COLUMNS + 1)
