"""The Q-learning update, as pure functions.

Legend: B batch, A actions. Time suffixes: tm1 where the action was taken, t where it led.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core.legal import legal_only


def td_target(
    n_step_return: Tensor,
    bootstrap_discount: Tensor,
    q_target_t: Tensor,
    q_online_t: Tensor | None = None,
    legal_t: Tensor | None = None,
) -> Tensor:
    """What Q(s, a) should have been.

    ``r + discount * max_a Q_target(s', a)`` (Mnih et al. 2015, algorithm 1). With ``q_online_t``
    the action is chosen by the online network and valued by the target network (van Hasselt et al.
    2016, arXiv 1509.06461, equation 4).

    Args:
        n_step_return: rewards summed up to the bootstrap state, discounted, float [B].
        bootstrap_discount: discount ** steps, 0 where the episode terminated, float [B].
        q_target_t: the target network's values of the bootstrap state, float [B, A].
        q_online_t: the online network's values of it, float [B, A], for double Q-learning.
        legal_t: actions the maximum ranges over, bool [B, A]; None for all.

    Returns:
        float [B].
    """
    chooser = q_target_t if q_online_t is None else q_online_t
    best = legal_only(chooser, legal_t).argmax(dim=1, keepdim=True)  # [B, 1]
    return n_step_return + bootstrap_discount * q_target_t.gather(1, best).squeeze(1)


def td_loss(
    q_tm1: Tensor, action_tm1: Tensor, target: Tensor, kind: str, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean loss of the TD error, and the errors.

    Args:
        q_tm1: action values where the action was taken, float [B, A].
        action_tm1: the action, int64 [B].
        target: from ``td_target``, float [B]; no gradient flows into it.
        kind: 'mse' (error squared) or 'huber', whose gradient is the TD error clipped to
            [-1, 1] as in Mnih et al. 2015, Methods.
        weight: how much each transition counts, float [B]; None for all alike.

    Returns:
        scalar loss, and target - Q(s, a), float [B].
    """
    q_action = q_tm1.gather(1, action_tm1.unsqueeze(1)).squeeze(1)  # [B]
    target = target.detach()
    compute = F.huber_loss if kind == "huber" else F.mse_loss
    if weight is None:
        loss = compute(q_action, target)
    else:
        loss = (weight * compute(q_action, target, reduction="none")).mean()
    return loss, (target - q_action).detach()


def greedy_action(q: Tensor) -> Tensor:
    """The action of highest value, int64 [B]; the first of equals."""
    return torch.argmax(q, dim=1)
