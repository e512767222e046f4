"""What the controller minimises, as pure functions.

`agents/reinforce` has a loss of steps with one action each. Here an episode is a whole design with
one reward, its decisions differ in their options, and probabilities of designs, not of single
decisions, are clipped; so only the idea is shared.

Legend: B designs, T tokens of each, K options at most.
"""

from __future__ import annotations

import torch
from torch import Tensor


def log_policy(logits: Tensor, legal: Tensor) -> Tensor:
    """Log-probabilities of legal options; 0 for the others.

    Args:
        logits: float [B, T, K].
        legal: bool [B, T, K], with at least one for each token.

    Returns:
        float [B, T, K].
    """
    masked = logits.masked_fill(~legal, -torch.inf)
    return torch.log_softmax(masked, dim=2).masked_fill(~legal, 0.0)


def log_probability(log_policy: Tensor, tokens: Tensor) -> Tensor:
    """Of whole designs, float [B]; ``log_policy`` as above, ``tokens`` int64 [B, T]."""
    return log_policy.gather(2, tokens.unsqueeze(2)).sum(dim=(1, 2))


def entropy(log_policy: Tensor, legal: Tensor) -> Tensor:
    """Of the softmax of each token in nats, float [B, T]; arguments as above."""
    return -(log_policy.exp() * log_policy * legal).sum(dim=2)


def reinforce_loss(log_probability: Tensor, advantage: Tensor) -> Tensor:
    """Minus the advantage times the log-probability, on average over designs; scalar.

    Its gradient is minus that of the expected reward (Williams 1992; Zoph and Le 2017, section
    3.2). Both arguments are float [B]; ``advantage`` has no gradient.
    """
    return -(advantage * log_probability).mean()


def ppo_loss(log_probability: Tensor, old: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Minus the clipped surrogate, on average over designs; scalar.

    ``min(r A, clip(r, 1 - clip, 1 + clip) A)`` with the ratio r of a design's probability to what
    it was when it was drawn (Schulman et al. 2017, arXiv 1707.06347, equation 7).

    Args:
        log_probability: float [B].
        old: when it was drawn, float [B], without gradient.
        advantage: float [B], without gradient.
        clip: how far r may go from 1.
    """
    ratio = (log_probability - old).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def skip_divergence(log_policy: Tensor, rate: float, anchors: int) -> Tensor:
    """How far the probabilities of inputs are from a rate; scalar.

    The Kullback-Leibler divergence of each yes or no from one with this rate, summed over the
    layers before and averaged over anchor points and designs (ENAS, Pham et al. 2018).

    Args:
        log_policy: of the tokens of anchor points, float [B, T, at least 2]; no and yes come first.
        rate: wanted share of yes.
        anchors: how many anchor points these tokens belong to.
    """
    answers = log_policy[:, :, :2]
    wanted = torch.tensor([1 - rate, rate], dtype=answers.dtype, device=answers.device).log()
    return (answers.exp() * (answers - wanted)).sum(dim=(1, 2)).mean() / anchors


def squashed(logits: Tensor, temperature: float, tanh_constant: float) -> Tensor:
    """Logits divided by the temperature and kept within the tanh constant (0: not), as in ENAS."""
    if temperature != 1:
        logits = logits / temperature
    return tanh_constant * torch.tanh(logits) if tanh_constant else logits
