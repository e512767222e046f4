"""What a critic and a generator minimise, a term a function, and what keeps a critic smooth.

    minimax          Goodfellow et al. 2014, arXiv 1406.2661, equation 1
    non-saturating   the same paper, end of section 3
    Wasserstein      Arjovsky et al. 2017, arXiv 1701.07875, algorithm 1, with clipped weights
    gradient penalty Gulrajani et al. 2017, arXiv 1704.00028, equation 3
    R1               Mescheder et al. 2018, arXiv 1801.04406, equation 9
    drift            Karras et al. 2017, arXiv 1710.10196, appendix A.1

With a logit l, D = sigmoid(l), log D = -softplus(-l) and log(1 - D) = -softplus(l).

Legend: B batch. Scores are float [B], samples float [B, ...].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

Scores = Callable[[Tensor], Tensor]
"""A critic: samples [B, ...] to scores [B], each of its own sample."""


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(real) - log(1 - D(fake)): minus the value of the game."""
    return softplus(-real).mean() + softplus(fake).mean()


def minimax_loss(fake: Tensor) -> Tensor:
    """log(1 - D(fake)), of which little is left to learn from where D is sure."""
    return -softplus(fake).mean()


def non_saturating_loss(fake: Tensor) -> Tensor:
    """-log D(fake)."""
    return softplus(-fake).mean()


def wasserstein_critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Minus the estimate of the distance, for critics whose slope is at most 1."""
    return fake.mean() - real.mean()


def wasserstein_generator_loss(fake: Tensor) -> Tensor:
    """Minus the score of what was made."""
    return -fake.mean()


@torch.no_grad()
def clip_weights(critic: nn.Module, bound: float) -> None:
    """Keep every weight within plus and minus `bound`, and so the critic's slope bounded."""
    for parameter in critic.parameters():
        parameter.clamp_(-bound, bound)


def slopes(critic: Scores, samples: Tensor) -> Tensor:
    """Norms [B] of the gradients of the scores at samples, which can be differentiated again."""
    samples = samples.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(samples).sum(), samples, create_graph=True)
    # The norm's own derivative at 0 is NaN in some versions of torch.
    return gradient.flatten(1).square().sum(dim=1).add(1e-12).sqrt()


def gradient_penalty(critic: Scores, real: Tensor, fake: Tensor) -> Tensor:
    """Mean squared distance of the slopes from 1, on straight lines between data and samples."""
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
    return (slopes(critic, real + share * (fake - real)) - 1).square().mean()


def r1_penalty(critic: Scores, real: Tensor) -> Tensor:
    """Half the mean squared slope at data."""
    return 0.5 * slopes(critic, real).square().mean()


def drift_penalty(real: Tensor) -> Tensor:
    """Mean square of the scores, which a Wasserstein critic leaves open by a constant."""
    return real.square().mean()
