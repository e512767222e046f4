"""The network as the search sees it: folded, in the arithmetic of the run, refreshed as it learns.

Legend: B batch, C planes, H W board, A actions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from core.learner import Arithmetic
from networks.control.zero import ZeroNetwork, folded
from search.tree_search import Answer


class NetworkEvaluator:
    """Judges positions with a copy of a network."""

    def __init__(self, network: ZeroNetwork, arithmetic: Arithmetic) -> None:
        self.arithmetic = replace(arithmetic, compile=False)
        self._dtype = torch.bfloat16 if arithmetic.bf16 else torch.float32
        self.overlaps = torch.device(arithmetic.device).type == "cuda"
        self.refresh(network)

    def refresh(self, network: ZeroNetwork) -> None:
        """Copy the network's present weights."""
        self.network = self.arithmetic.place(folded(network)).to(self._dtype)

    def begin(
        self, planes: np.ndarray, handicap: np.ndarray, cells: np.ndarray | None = None
    ) -> Answer:
        """Start a forward pass; on a GPU it goes on in the background."""
        with torch.inference_mode():
            device = self.arithmetic.device
            layout = torch.channels_last
            if not self.arithmetic.channels_last:
                layout = torch.contiguous_format
            board = torch.from_numpy(planes).to(device, non_blocking=True)
            if cells is not None:
                order = torch.from_numpy(cells).to(device)
                board = board.flatten(2).index_select(2, order).view(planes.shape)
            board = board.to(self._dtype, memory_format=layout)
            points = torch.from_numpy(handicap).to(device) * 0.5
            outputs = self.network(board, points)
            logits, values = outputs.policy_logits.float(), outputs.value.float()

        def answer() -> tuple[np.ndarray, np.ndarray]:
            return logits.cpu().numpy(), values.cpu().numpy()

        return answer

    def ownership(self, planes: np.ndarray, handicap: np.ndarray) -> np.ndarray:
        """Expected owners, +1 the player to move, float32 [B, H, W]."""
        with torch.inference_mode():
            board = self.arithmetic.tensor(planes).to(self._dtype)
            points = self.arithmetic.tensor(handicap) * 0.5
            owners: np.ndarray = self.network(board, points).ownership.float().cpu().numpy()
        return owners
