"""Munchausen reinforcement learning: Vieillard et al. 2020, arXiv 2007.14430.

The policy is a softmax of the target network's values. Its entropy is part of what follows, and
the log-probability of the action taken is added to its reward, as if the agent's own confidence
were good news.

    r + alpha [tau ln pi(a|s)]_l^0 + gamma sum_a' pi(a'|s') (q(s', a') - tau ln pi(a'|s'))

Legend: B batch, A actions, M quantiles of the target.
"""

from __future__ import annotations

from torch import Tensor

from core.legal import legal_only

LEAST = -1e30
"""A tau ln pi whose pi is 0, and that times 0 is 0."""


def log_policy(q: Tensor, temperature: float, legal: Tensor | None) -> Tensor:
    """tau ln pi(a|s) of the softmax of q / tau, float [B, A]; for illegal actions so low that they
    have no share in any sum, and finite.

    Args:
        q: action values, float [B, A].
        temperature: tau, over 0.
        legal: what the softmax ranges over, bool [B, A]; None for all.
    """
    scaled = temperature * legal_only(q / temperature, legal).log_softmax(dim=1)
    return scaled.clamp(min=LEAST)


def munchausen_return(
    n_step_return: Tensor, log_policy_tm1: Tensor, action_tm1: Tensor, scale: float, least: float
) -> Tensor:
    """The return with alpha [tau ln pi(a|s)]_l^0 added to its first reward, float [B].

    Args:
        n_step_return: float [B].
        log_policy_tm1: from `log_policy`, where the action was taken, float [B, A].
        action_tm1: the action, int64 [B].
        scale: alpha.
        least: l, the bound on tau ln pi, at most 0.
    """
    taken = log_policy_tm1.gather(1, action_tm1.unsqueeze(1)).squeeze(1)
    return n_step_return + scale * taken.clamp(least, 0.0)


def soft_values(values: Tensor, log_policy_t: Tensor, temperature: float) -> Tensor:
    """sum_a pi(a|s) (value - tau ln pi(a|s)).

    Args:
        values: of the bootstrap state, float [B, A], or of its quantiles, float [B, A, M].
        log_policy_t: from `log_policy`, float [B, A].
        temperature: tau.

    Returns:
        float [B] or [B, M].
    """
    policy = (log_policy_t / temperature).exp()
    entropies = log_policy_t
    if values.dim() == 3:
        policy, entropies = policy.unsqueeze(2), entropies.unsqueeze(2)
    return (policy * (values - entropies)).sum(dim=1)
