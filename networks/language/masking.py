"""Hides tokens for a masked language model to predict.

Paper: Devlin et al. 2018, arXiv 1810.04805, section 3.1 and appendix A.1. Of the chosen tokens 80 %
become the mask, 10 % any token and 10 % stay as they are: masks do not occur in other tasks, and a
token that is seen may be wrong, so every position's features have to rely on the others.

Legend: B batch, T time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import UserError

MASKED, RANDOM = 0.8, 0.1
"""Shares of the chosen tokens; the rest stays."""


def mask_tokens(
    tokens: Tensor,
    mask: int,
    vocabulary: int,
    generator: torch.Generator,
    rate: float = 0.15,
    eligible: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose tokens in every row, and hide them.

    Args:
        tokens: int64 [B, T].
        mask: token that hides others.
        vocabulary: random tokens are 0 to one less than this.
        generator: the only source of chance.
        rate: share of the eligible tokens that is chosen, rounded; one at least in each row.
        eligible: bool [B, T], false at padding and whatever else is not to be predicted; None
            where all may be.

    Returns:
        What the network sees, int64 [B, T], and where the chosen tokens are, bool [B, T].

    Raises:
        UserError: the rate is not over 0 and at most 1.
    """
    if not 0 < rate <= 1:
        raise UserError(f"the rate of masked tokens must be over 0 and at most 1, got {rate}")
    eligible = torch.ones_like(tokens, dtype=torch.bool) if eligible is None else eligible
    shape, device = tokens.shape, generator.device
    lots = torch.rand(shape, generator=generator, device=device).to(tokens.device)
    lots = lots.masked_fill(~eligible, 2.0)
    ranks = lots.argsort(dim=1).argsort(dim=1)  # [B, T], 0 for the lowest lot of a row
    wanted = (eligible.sum(dim=1, keepdim=True) * rate).round().clamp(min=1)  # [B, 1]
    chosen = (ranks < wanted) & eligible
    fate = torch.rand(shape, generator=generator, device=device).to(tokens.device)
    others = torch.randint(vocabulary, shape, generator=generator, device=device).to(tokens.device)
    seen = torch.where(chosen & (fate < MASKED + RANDOM), others, tokens)
    return seen.masked_fill(chosen & (fate < MASKED), mask), chosen
