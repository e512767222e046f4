"""Seeds of their own for every purpose, all derived from a run's one seed."""

from __future__ import annotations

import numpy as np


def derived_seed(seed: int, purpose: str, *numbers: int) -> int:
    """A seed in [0, 2**31) that another purpose or other numbers do not share."""
    words = [seed, *purpose.encode(), *numbers]
    return int(np.random.SeedSequence(words).generate_state(1)[0]) & 0x7FFFFFFF
