"""The policy gradient with a baseline, as pure functions.

Legend: T steps of all episodes of an update, one after another; A actions.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def returns_to_go(
    reward: np.ndarray, last: np.ndarray, bootstrap: np.ndarray, discount: float
) -> np.ndarray:
    """The discounted sum of rewards from every step to the end of its episode.

    ``G_t = R_{t+1} + discount * G_{t+1}`` (Sutton and Barto 2018, equation 3.9). What would have
    followed the last step stands in ``bootstrap``: 0 where the episode terminated, the estimated
    value of the final observation where it was cut off (Pardo et al. 2018, arXiv 1712.00378).

    Args:
        reward: float [T].
        last: True at the last step of an episode, bool [T]; so ``last[-1]`` is true.
        bootstrap: float [T]; only read where ``last``.
        discount: per step.

    Returns:
        float64 [T].
    """
    returns = np.where(last, reward + discount * bootstrap, reward).astype(np.float64)
    for t in range(len(returns) - 2, -1, -1):
        if not last[t]:
            returns[t] += discount * returns[t + 1]
    return returns


def advantages(returns: Tensor, value: Tensor, *, normalise: bool) -> Tensor:
    """How much better a return was than the baseline expected, float [T]; no gradient.

    Args:
        returns: float [T].
        value: the baseline's estimates, float [T].
        normalise: shift and scale to mean 0 and standard deviation 1.
    """
    advantage = (returns - value).detach()
    if normalise and len(advantage) > 1:
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    return advantage


def reinforce_loss(
    logits: Tensor, action: Tensor, advantage: Tensor, entropy_weight: float
) -> tuple[Tensor, Tensor]:
    """Loss whose gradient is minus the policy gradient, with an entropy bonus.

    ``-mean(advantage * log pi(a|s)) - entropy_weight * mean(entropy)`` (Williams 1992, section 5;
    the bonus: Williams and Peng 1991). The factor ``discount ** t`` of Sutton and Barto's
    algorithm is left out, as is usual: late steps count as much as early ones.

    Args:
        logits: float [T, A].
        action: int64 [T].
        advantage: float [T].
        entropy_weight: 0 for no bonus.

    Returns:
        scalar loss, and the mean entropy in nats, without gradient.
    """
    log_policy = F.log_softmax(logits, dim=1)  # [T, A]
    chosen = log_policy.gather(1, action.unsqueeze(1)).squeeze(1)  # [T]
    entropy = -(log_policy.exp() * log_policy).sum(dim=1).mean()
    loss = -(advantage.detach() * chosen).mean() - entropy_weight * entropy
    return loss, entropy.detach()


def value_loss(value: Tensor, returns: Tensor) -> Tensor:
    """Mean squared error of the baseline, scalar; ``value`` and ``returns`` are float [T]."""
    return F.mse_loss(value, returns)


def sample_action(logits: Tensor, gumbel: np.ndarray) -> np.ndarray:
    """Draw from softmax(logits): the argmax after adding Gumbel noise, int64 [L].

    Args:
        logits: float [L, A].
        gumbel: independent standard Gumbel numbers, [L, A].
    """
    noisy = logits + torch.as_tensor(gumbel, dtype=logits.dtype, device=logits.device)
    return noisy.argmax(dim=1).cpu().numpy()
