"""Options of the tree search. Imports neither numba nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.config import warn


@dataclass(frozen=True)
class SearchConfig:
    """Tree search guided by a network."""

    root: Literal["gumbel", "puct"] = warn("gumbel")
    """How the root spends its simulations: gumbel (sequential halving; good with few) or puct."""
    considered: int = warn(16, at_least=1)
    """Actions that a gumbel root considers."""
    visit_weight: float = warn(50.0, at_least=0)
    """c_visit of the gumbel root."""
    value_scale: float = warn(1.0, at_least=0)
    """c_scale of the gumbel root; 1 for board games."""
    exploration: float = warn(1.1, at_least=0)
    """c of PUCT."""
    first_play_reduction: float = warn(0.2, at_least=0)
    """How much worse than its parent an untried move is taken to be."""
    dirichlet_weight: float = warn(0.25, at_least=0, at_most=1)
    """Share of noise in a puct root's priors during self-play."""
    dirichlet_total: float = warn(10.83, at_least=0)
    """Sum of the noise's concentration over the legal moves."""
    forced_playouts: float = warn(2.0, at_least=0)
    """k of forced playouts at a puct root in self-play, pruned from the policy target; 0: none."""
    virtual_loss: float = warn(1.0, at_least=0)
    """Value that an awaited visit counts as lost."""
    symmetries: bool = warn(True)
    """Turn or mirror each position at random before the network sees it."""
