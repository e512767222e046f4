"""How far returns look ahead, when that changes over training.

Long returns and a low discount learn fast at first, short returns and a high discount get further
in the end: Schwarzer et al. 2023, "Bigger, Better, Faster", arXiv 2305.19452, section 4. Both
change exponentially, the discount by its distance from 1.

Deviation: BBF starts anew at every reset of its network and counts gradient steps from there; here
there are no resets, and both change once, over agent steps from the warm-up's end.
"""

from __future__ import annotations

from agents.dqn.config import DQNConfig
from core.schedule import exponential


def horizon(config: DQNConfig, agent_steps: int) -> tuple[int, float]:
    """Rewards to sum and the discount, after so many agent steps."""
    n_step, discount = config.n_step, config.discount
    passed = min(max(0, agent_steps - config.warmup_steps), config.horizon_steps)
    if passed == config.horizon_steps:
        return n_step, discount
    if config.n_step_start:
        n_step = round(exponential(config.n_step_start, n_step, config.horizon_steps, passed))
    if config.discount_start and discount < 1:
        start, end = 1 - config.discount_start, 1 - discount
        discount = 1 - exponential(start, end, config.horizon_steps, passed)
    return n_step, discount
