"""Observations brought to mean 0 and standard deviation 1, by what was seen so far.

Vectors feature by feature; images pixel by pixel, as Burda et al. 2018 (arXiv 1810.12894, section
2.4) do: what stands still becomes 0, and what moves, however small and faint, is all there is.

Legend: B batch, D features, K frames stacked, H W plane, C colours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import UserError
from core.lanes import ObservationSpec
from core.machine import ranks

LARGEST = 10.0
"""Normalised features are cut to this many standard deviations."""
SMALLEST_VARIANCE = 1e-8
SMALLEST_VARIANCE_OF_PIXELS = 25.0
"""Added to what is measured: a pixel that hardly ever changes is not blown up beyond this."""


def build_normaliser(spec: ObservationSpec, wanted: bool) -> ObservationNormaliser | NoNormaliser:
    """What stands before the torsos of an agent's network.

    Raises:
        UserError: wanted for numbered states.
    """
    return ObservationNormaliser(spec) if wanted else NoNormaliser()


class NoNormaliser(nn.Identity):
    """Observations as they are; adds nothing to the weights that are saved."""

    def update(self, observation: np.ndarray, busy: np.ndarray | None = None) -> None:
        """Nothing is counted."""


class ObservationNormaliser(nn.Module):
    """Vectors [B, ..., D] or images [B, K, H, W(, C)] -> the same shape. Its statistics are saved
    with the weights and change in `update` only, so whoever is scored sees them as they are."""

    def __init__(self, spec: ObservationSpec) -> None:
        """Raises UserError for numbered states, which need no scale."""
        super().__init__()
        if spec.categories:
            raise UserError(
                "--normalise-observations is for vectors and images, this environment shows "
                "numbered states; leave it out"
            )
        self.of_images = spec.is_image
        self.least = SMALLEST_VARIANCE_OF_PIXELS if spec.is_image else SMALLEST_VARIANCE
        self.count: Tensor
        self.mean: Tensor
        self.squares: Tensor
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(spec.shape, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(spec.shape, dtype=torch.float64))

    def update(self, observation: np.ndarray, busy: np.ndarray | None = None) -> None:
        """Count in new observations [B, D] where not busy, bool [B], and those of all processes:
        Chan et al. 1979, on combining variances."""
        new_ones = observation if busy is None else observation[~busy]
        observation = np.concatenate(ranks.all_of(new_ones))
        if not len(observation):
            return
        seen = torch.as_tensor(observation).to(self.mean.device).double()
        new, mean = len(seen), seen.mean(dim=0)
        total = self.count + new
        shift = mean - self.mean
        self.squares += ((seen - mean) ** 2).sum(dim=0) + shift**2 * self.count * new / total
        self.mean += shift * new / total
        self.count += new

    def forward(self, observation: Tensor) -> Tensor:
        """As float32; vectors unchanged before the first `update`."""
        variance = torch.where(self.count > 1, self.squares / self.count.clamp(min=1.0), 1.0)
        deviation = (variance + self.least).sqrt()
        kind = torch.get_default_dtype()
        if not self.of_images:
            scaled = (observation - self.mean) / deviation
            return scaled.clamp(-LARGEST, LARGEST).to(kind)
        # Laid out as the frames are: broadcasting over frames that lie innermost takes twice as
        # long as the arithmetic.
        mean, deviation = (
            torch.empty_like(observation[:1], dtype=kind).copy_(x) for x in (self.mean, deviation)
        )
        return (observation - mean).div_(deviation).clamp_(-LARGEST, LARGEST)
