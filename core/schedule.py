"""Values that change over training."""

from __future__ import annotations

import math

from core.errors import UserError, did_you_mean

SCHEDULES = ("constant", "linear", "cosine", "step", "inverse_sqrt")
STEPS_DOWN = (0.5, 0.75)
"""Where in a run the schedule 'step' divides by ten (He et al. 2015, section 4.2)."""


def linear(start: float, end: float, duration_steps: int, step: int) -> float:
    """``start`` at step 0, ``end`` from ``duration_steps`` on, a straight line between."""
    if step >= duration_steps:
        return end
    return start + (end - start) * step / duration_steps


def exponential(start: float, end: float, duration_steps: int, step: int) -> float:
    """``start`` at step 0, ``end`` from ``duration_steps`` on; between them equal steps change by
    equal factors. Both are over 0."""
    return math.exp(linear(math.log(start), math.log(end), duration_steps, step))


def check_schedule(name: str, warmup: float) -> None:
    """Raise UserError for an unknown name, or a warm-up that the schedule cannot have."""
    if name not in SCHEDULES:
        raise UserError(
            f"there is no schedule {name!r}{did_you_mean(name, SCHEDULES)} "
            f"(known: {', '.join(SCHEDULES)})"
        )
    if not 0 <= warmup < 1:
        raise UserError(f"a warm-up is a share of the run, 0 or more and below 1, got {warmup}")
    if name == "inverse_sqrt" and warmup == 0:
        raise UserError("the schedule inverse_sqrt falls from the end of a warm-up, which is 0")


def learning_rate_factor(name: str, progress: float, warmup: float = 0.0) -> float:
    """What the learning rate is multiplied by: up to 1 in a straight line, then as named.

    constant      1
    linear        to 0 in a straight line
    cosine        to 0 along half a wave        Loshchilov & Hutter 2017, arXiv 1608.03983
    step          a tenth from each of STEPS_DOWN on
    inverse_sqrt  sqrt(warmup / progress)       Vaswani et al. 2017, arXiv 1706.03762, equation 3

    Args:
        name: one of SCHEDULES.
        progress: share of the run, 0 to 1; beyond 1 the end's value stays.
        warmup: share of the run.

    Raises:
        UserError: unknown name, or a warm-up that the schedule cannot have.
    """
    check_schedule(name, warmup)
    progress = min(progress, 1.0)
    if progress < warmup:
        return progress / warmup
    after = (progress - warmup) / (1 - warmup)
    if name == "linear":
        return 1 - after
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * after))
    if name == "step":
        return float(0.1 ** sum(progress >= place for place in STEPS_DOWN))
    if name == "inverse_sqrt":
        return math.sqrt(warmup / progress)
    return 1.0
