"""Where a token stands, as a vector added to its embedding.

sinusoid   wavelengths from 2 pi to 10,000 * 2 pi; any length
           Vaswani et al. 2017, arXiv 1706.03762, section 3.5
learned    a vector for each position up to a longest one
           Gehring et al. 2017, arXiv 1705.03122; compared in Vaswani et al. 2017, table 3 (E)

Legend: T time, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.errors import UserError, did_you_mean

POSITIONS = ("sinusoid", "learned")


class Sinusoid(nn.Module):
    """sin(t w_i) at feature 2i and cos(t w_i) at 2i + 1, where w_i = 10,000^(-2i / D).

    Raises:
        UserError: D is odd, which leaves a sine without its cosine.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 2:
            raise UserError(f"sinusoid positions need an even width, got {width}")
        self.width = width

    def forward(self, tokens: Tensor, past: int = 0) -> Tensor:
        """Vectors float32 [T, D] of the positions of `tokens` [B, T], after `past` earlier ones."""
        positions = past + torch.arange(tokens.shape[1], device=tokens.device)
        even = torch.arange(0, self.width, 2, device=tokens.device)
        frequencies = torch.exp(-math.log(10_000.0) / self.width * even)  # [D/2]
        angles = positions[:, None] * frequencies  # [T, D/2]
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)  # [T, D]


class LearnedPositions(nn.Module):
    """One trained vector for each position."""

    def __init__(self, width: int, longest: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(longest, width))
        nn.init.normal_(self.weight, std=width**-0.5)

    @torch.no_grad()
    def begin_as_sinusoid(self, std: float) -> None:
        """Take a sinusoid's values, scaled to this deviation, to go on from."""
        longest, width = self.weight.shape
        wanted = Sinusoid(width)(self.weight.new_zeros(1, longest))  # mean square 1/2
        self.weight.copy_(math.sqrt(2) * std * wanted)

    def forward(self, tokens: Tensor, past: int = 0) -> Tensor:
        """Vectors [T, D] of the positions of `tokens` [B, T], after `past` earlier ones.

        Raises:
            UserError: there are more positions than vectors.
        """
        end = past + tokens.shape[1]
        if end > len(self.weight):
            raise UserError(
                f"a sequence of {end} tokens is too long for {len(self.weight)} learned "
                "positions; shorten it"
            )
        return self.weight[past:end]


def position_vectors(name: str, width: int, longest: int) -> nn.Module:
    """A module that gives each position of tokens [B, T] a vector, [T, width], by name.

    Raises:
        UserError: unknown name; says the nearest one.
    """
    if name == "sinusoid":
        return Sinusoid(width)
    if name == "learned":
        return LearnedPositions(width, longest)
    raise UserError(
        f"there are no positions {name!r}{did_you_mean(name, POSITIONS)} "
        f"(known: {', '.join(POSITIONS)})"
    )
