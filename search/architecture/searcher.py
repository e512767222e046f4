"""What every searcher can be asked: for designs, and to learn from their rewards.

Random search, evolution, local search and the controller that learns (`agents/nas`) are
interchangeable. Searchers see rewards only, never a test score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from envs.architecture.space import Tokens


class Searcher(Protocol):
    """Proposes designs."""

    def ask(self, count: int) -> list[Tokens]:
        """So many designs to be scored. May ask for one that was scored before."""

    def tell(self, designs: Sequence[Tokens], rewards: np.ndarray) -> None:
        """The rewards, float64 [count], of the designs asked for last, in their order."""

    def state_dict(self) -> dict[str, Any]:
        """Everything, its random stream included: arrays, and what JSON holds."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``, taken between a ``tell`` and the next ``ask``."""
