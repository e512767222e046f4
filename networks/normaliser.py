"""Observations brought to mean 0 and standard deviation 1, by what was seen so far.

Legend: B batch, D features.
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


def build_normaliser(spec: ObservationSpec, wanted: bool) -> ObservationNormaliser | NoNormaliser:
    """What stands before the torsos of an agent's network.

    Raises:
        UserError: wanted for images or numbered states.
    """
    return ObservationNormaliser(spec) if wanted else NoNormaliser()


class NoNormaliser(nn.Identity):
    """Observations as they are; adds nothing to the weights that are saved."""

    def update(self, observation: np.ndarray, busy: np.ndarray | None = None) -> None:
        """Nothing is counted."""


class ObservationNormaliser(nn.Module):
    """Vectors [B, ..., D] -> the same shape. Its statistics are saved with the weights and change
    in `update` only, so whoever is scored sees them as they are."""

    def __init__(self, spec: ObservationSpec) -> None:
        """Raises UserError for images and numbered states, which need no scale."""
        super().__init__()
        if spec.is_image or spec.categories:
            shown = "numbered states" if spec.categories else f"images of shape {spec.shape}"
            raise UserError(
                f"--normalise-observations is for vectors, this environment shows {shown}; leave "
                f"it out"
            )
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
        seen = torch.as_tensor(observation, dtype=torch.float64, device=self.mean.device)
        new, mean = len(seen), seen.mean(dim=0)
        total = self.count + new
        shift = mean - self.mean
        self.squares += ((seen - mean) ** 2).sum(dim=0) + shift**2 * self.count * new / total
        self.mean += shift * new / total
        self.count += new

    def forward(self, observation: Tensor) -> Tensor:
        """As float32; unchanged before the first `update`."""
        variance = torch.where(self.count > 1, self.squares / self.count.clamp(min=1.0), 1.0)
        scaled = (observation - self.mean) / (variance + SMALLEST_VARIANCE).sqrt()
        return scaled.clamp(-LARGEST, LARGEST).to(torch.get_default_dtype())
