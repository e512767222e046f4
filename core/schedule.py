"""Values that change over training."""

from __future__ import annotations


def linear(start: float, end: float, duration_steps: int, step: int) -> float:
    """``start`` at step 0, ``end`` from ``duration_steps`` on, a straight line between."""
    if step >= duration_steps:
        return end
    return start + (end - start) * step / duration_steps
