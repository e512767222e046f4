"""The losses of AlphaGo Zero, and KataGo's for owner and margin.

    l = (z - v)^2 - pi . log p          (Silver et al. 2017; L2 is the optimiser's weight decay)
        + w_o (owner - o)^2 + w_m huber(margin - m)      (Wu 2019 in a simpler form)
        + w_n (log sum exp logits)^2                     (Chowdhery et al. 2022, section 5)

Legend: B batch, A actions, H W board.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def policy_loss(policy_logits: Tensor, policy_target: Tensor) -> Tensor:
    """Cross entropy of the search's policy [B, A] and the network's, mean over the batch."""
    log_policy = functional.log_softmax(policy_logits, dim=1)
    return torch.sum(-policy_target * log_policy, dim=1).mean()


def normaliser_loss(policy_logits: Tensor) -> Tensor:
    """Mean squared logarithm of the softmax's normaliser, for logits [B, A].

    A number added to all logits changes no probability, so nothing else holds it. It drifts, and
    bf16 tells large logits apart only by 1 at 200 and by 2,000 at 500,000.
    """
    return torch.logsumexp(policy_logits, dim=1).square().mean()


def target_entropy(policy_target: Tensor) -> Tensor:
    """Entropy of the search's policy [B, A]: what the policy loss cannot fall below."""
    return torch.sum(torch.special.entr(policy_target), dim=1).mean()


def value_loss(value: Tensor, outcome: Tensor) -> Tensor:
    """Mean squared error of values [B] and outcomes [B]."""
    return functional.mse_loss(value, outcome)


def ownership_loss(
    ownership: Tensor, owners: Tensor, settled: Tensor, on_board: Tensor | None = None
) -> Tensor:
    """Mean squared error of owners [B, H, W] over the games whose end is known, [B].

    Where boards are padded, `on_board` [B, H, W] is 1 on them; nobody owns what is beyond.
    """
    errors = (ownership - owners).square()
    if on_board is None:
        means = errors.mean(dim=(1, 2))
    else:
        means = (errors * on_board).sum(dim=(1, 2)) / on_board.sum(dim=(1, 2))
    return (means * settled).sum() / settled.sum().clamp(min=1)


def margin_loss(margin: Tensor, target: Tensor, settled: Tensor) -> Tensor:
    """Huber loss of margins [B] over the games whose end is known."""
    errors = functional.huber_loss(margin, target, reduction="none")
    return (errors * settled).sum() / settled.sum().clamp(min=1)
