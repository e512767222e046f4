"""AlphaGo's policy and value networks as the search sees them.

Legend: B batch, C planes, H W board, A actions, the last a pass.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from core.learner import Arithmetic
from envs.games.go.alphago_planes import POLICY_PLANES, SENSIBLE
from search.tree_search import Answer

_NOT_SENSIBLE = -50.0


class PolicyAndValue:
    """Judges positions with a policy, a value network, or both; for one thread at a time."""

    overlaps = False

    def __init__(
        self, policy: nn.Module | None, value: nn.Module | None, arithmetic: Arithmetic
    ) -> None:
        """None: all sensible moves are equal, or every position is worth 0."""
        self.arithmetic = arithmetic
        self.policy = None if policy is None else arithmetic.place(policy).eval()
        self.value = None if value is None else arithmetic.place(value).eval()

    @torch.inference_mode()
    def begin(self, planes: np.ndarray, handicap: np.ndarray, cells: np.ndarray | None) -> Answer:
        """Judge positions by their 49 planes; see `search.tree_search.Evaluator`."""
        boards = self.arithmetic.tensor(planes)
        if cells is not None:
            order = self.arithmetic.tensor(cells)
            boards = boards.flatten(2).index_select(2, order).view(boards.shape)
        seen = boards.float()
        with self.arithmetic.autocast():
            points = torch.zeros_like(seen[:, 0].flatten(1))
            if self.policy is not None:
                points = self.policy(seen[:, :POLICY_PLANES]).float()
            values = torch.zeros(len(seen))
            if self.value is not None:
                values = self.value(seen).float().cpu()
        logits = with_pass(points, boards[:, SENSIBLE].flatten(1) > 0).cpu()
        return lambda: (logits.numpy(), values.numpy())


def with_pass(points: Tensor, sensible: Tensor) -> Tensor:
    """Logits of all actions from those of the points, float32 [B, A - 1].

    The policy knows no pass, and no moves that are not sensible. Of k sensible ones and a pass, the
    pass gets the share 1 / (k + 1), so that it is sure where nothing else is sensible.
    """
    masked = torch.where(sensible, points, _NOT_SENSIBLE)
    masked = torch.where(sensible, masked.log_softmax(dim=1), _NOT_SENSIBLE)
    count = sensible.sum(dim=1, keepdim=True)
    passing = torch.where(count > 0, -torch.log(count.clamp(min=1).float()), 0.0)
    return torch.cat([masked, passing], dim=1)
