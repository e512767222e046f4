"""What PQN learns towards, as pure functions.

Legend: T ticks of a rollout, L lanes, B batch, A actions.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def lambda_returns(
    reward: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    valid: np.ndarray,
    value: np.ndarray,
    discount: float,
    decay: float,
) -> np.ndarray:
    """Returns that mix all numbers of steps before bootstrapping (section 4 of the paper).

    ``G_t = r_t + discount * (lambda * G_{t+1} + (1 - lambda) * max_a Q(s_{t+1}, a))``, without the
    second part where the episode terminated, and with lambda 0 where it was cut off and at the end
    of the rollout. Nothing is cut where an action was not the greedy one (Peng and Williams 1994).

    Args:
        reward: float [T, L].
        terminated: the episode ended by its rules, bool [T, L].
        truncated: it was cut off; the next tick still shows what it ended on, bool [T, L].
        valid: there was a transition, bool [T, L]. Where there was none a lane was busy, and what
            comes before goes on with what comes after, or an episode had ended.
        value: max_a Q(s, a) of every tick and of the one after the last, float [T + 1, L].
        discount: per step.
        decay: lambda, 0 to 1.

    Returns:
        float64 [T, L]; without meaning where not valid.
    """
    returns = np.empty(reward.shape)
    following = value[-1].astype(np.float64)
    for t in range(len(reward) - 1, -1, -1):
        mixed = decay * following + (1 - decay) * value[t + 1]
        ahead = np.where(truncated[t], value[t + 1], mixed)
        step = reward[t] + discount * np.where(terminated[t], 0.0, ahead)
        following = returns[t] = np.where(valid[t], step, following)
    return returns


def q_loss(q: Tensor, action: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Half the mean squared error, scalar.

    Args:
        q: action values, float [B, A].
        action: the actions that were taken, int64 [B].
        target: from `lambda_returns`, float [B]; no gradient flows into it.
        weight: how much each counts, float [B]; None for all alike.
    """
    taken = q.gather(1, action.unsqueeze(1)).squeeze(1)  # [B]
    if weight is None:
        return 0.5 * F.mse_loss(taken, target.detach())
    return 0.5 * (weight * F.mse_loss(taken, target.detach(), reduction="none")).mean()
