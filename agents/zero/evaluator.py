"""The network as the search sees it: folded, in the arithmetic of the run, refreshed as it learns.

Legend: B batch, C planes, H W board, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from core.learner import Arithmetic
from core.recorded import Recorded
from networks.control.folding import folded, refold
from networks.control.zero import ZeroNetwork
from search.tree_search import Answer

Forward = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""Planes uint8 [B, C, H, W], handicap int32 [B] and cells int32 [H W] to policy logits float32
[B, A] and values float32 [B]. Without cells the boards stay as they are."""


class NetworkEvaluator:
    """Judges positions with a copy of a network; for one thread at a time."""

    def __init__(self, network: ZeroNetwork, arithmetic: Arithmetic) -> None:
        self.arithmetic = replace(arithmetic, compile=False)
        self._dtype = torch.bfloat16 if arithmetic.bf16 else torch.float32
        self.overlaps = torch.device(arithmetic.device).type == "cuda"
        self.network = self.arithmetic.place(folded(network).to(self._dtype))
        self._recorded = Recorded(self._forward, self.arithmetic)

    def refresh(self, network: ZeroNetwork) -> None:
        """Copy the network's present weights, in place: what was recorded reads them there."""
        refold(network, self.network)

    @torch.inference_mode()
    def begin(
        self, planes: np.ndarray, handicap: np.ndarray, cells: np.ndarray | None = None
    ) -> Answer:
        """Start a forward pass; on a GPU it goes on in the background."""
        boards, points = torch.from_numpy(planes), torch.from_numpy(handicap)
        order = None if cells is None else torch.from_numpy(cells)
        if not self.overlaps:
            logits, values = self._forward(boards, points, order)
            return lambda: (logits.numpy(), values.numpy())
        if order is None:
            order = torch.arange(boards[0, 0].numel(), dtype=torch.int32)
        # Only copies from pinned memory are made in the background.
        given = [tensor.pin_memory() for tensor in (boards, points, order)]
        logits, values = self._recorded(*given)
        # Copied back at once: a copy asked for later waits for the forward passes begun since.
        logits, values = (out.to("cpu", non_blocking=True) for out in (logits, values))
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record()

        def answer() -> tuple[np.ndarray, np.ndarray]:
            arrived.synchronize()
            return logits.numpy(), values.numpy()

        return answer

    def _forward(
        self, planes: Tensor, handicap: Tensor, cells: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """See `Forward`."""
        turned = planes
        if cells is not None:
            turned = planes.flatten(2).index_select(2, cells).view(planes.shape)
        last = self.arithmetic.channels_last
        layout = torch.channels_last if last else torch.contiguous_format
        outputs = self.network(turned.to(self._dtype, memory_format=layout), handicap * 0.5)
        return outputs.policy_logits.float(), outputs.value.float()

    def ownership(self, planes: np.ndarray, handicap: np.ndarray) -> np.ndarray:
        """Expected owners, +1 the player to move, float32 [B, H, W]."""
        with torch.inference_mode():
            board = self.arithmetic.tensor(planes).to(self._dtype)
            points = self.arithmetic.tensor(handicap) * 0.5
            owners: np.ndarray = self.network(board, points).ownership.float().cpu().numpy()
        return owners
