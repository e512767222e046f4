"""Actions as callers hand them over: integers, and arrays that hold one."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def action_number(action: Any) -> int:
    """The number of an action: an int, a NumPy integer, or an array of one integer.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(action, np.ndarray) and action.size == 1:
        action = action.item()
    try:
        return operator.index(action)
    except TypeError:
        raise TypeError(f"an action is an integer or an array of one, not {action!r}") from None
