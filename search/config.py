"""Options of the tree search. Imports neither numba nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.config import warn
from core.errors import UserError


@dataclass(frozen=True)
class SearchConfig:
    """Tree search guided by a network."""

    root: Literal["gumbel", "puct"] = warn("gumbel")
    """How the root spends its simulations: gumbel (sequential halving; good with few) or puct."""
    considered: int = warn(16)
    """Actions that a gumbel root considers."""
    visit_weight: float = warn(50.0)
    """c_visit of the gumbel root."""
    value_scale: float = warn(1.0)
    """c_scale of the gumbel root; 1 for board games."""
    exploration: float = warn(1.1)
    """c of PUCT."""
    first_play_reduction: float = warn(0.2)
    """How much worse than its parent an untried move is taken to be."""
    dirichlet_weight: float = warn(0.25)
    """Share of noise in a puct root's priors during self-play."""
    dirichlet_total: float = warn(10.83)
    """Sum of the noise's concentration over the legal moves."""
    forced_playouts: float = warn(2.0)
    """k of forced playouts at a puct root in self-play, pruned from the policy target; 0: none."""
    virtual_loss: float = warn(1.0)
    """Value that an awaited visit counts as lost."""
    symmetries: bool = warn(True)
    """Turn or mirror each position at random before the network sees it."""

    def validate(self) -> None:
        """Raise UserError for values that cannot work."""
        if self.considered < 1:
            raise UserError(f"--considered must be at least 1, got {self.considered}")
        numbers = ("visit_weight", "value_scale", "exploration", "first_play_reduction",
                   "dirichlet_total", "forced_playouts", "virtual_loss")  # fmt: skip
        for name in numbers:
            if not getattr(self, name) >= 0:
                option = name.replace("_", "-")
                raise UserError(f"--{option} must be 0 or more, got {getattr(self, name)}")
        if not 0 <= self.dirichlet_weight <= 1:
            raise UserError(
                f"--dirichlet-weight must be between 0 and 1, got {self.dirichlet_weight}"
            )
