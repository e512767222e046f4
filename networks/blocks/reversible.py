"""Residual blocks whose inputs are computed from their outputs, so that nothing need be kept.

Papers: Gomez, Ren, Urtasun & Grosse 2017, The reversible residual network, arXiv 1707.04585; with
attention and feed-forward networks, Kitaev et al. 2020, Reformer, arXiv 2001.04451, section 3.

    forward      y1 = x1 + attention(x2)        y2 = x2 + feed_forward(y1)
    backward     x2 = y2 - feed_forward(y1)     x1 = y1 - attention(x2)

What one block makes lives while this block is worked on, in either direction. What attention
decided (`prepare`) is kept, since rounding could decide otherwise; what was dropped is dropped
again.

Legend: B batch, T time, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Pair = tuple[Tensor, Tensor]
"""Both streams, [B, T, D] each."""


class ReversibleBlock(nn.Module):
    """Two halves.

    Args:
        attention: called with a stream and what its `prepare` gave of that stream.
        feed_forward: called with a stream.
    """

    attention: Any
    feed_forward: Any

    def __init__(self, attention: nn.Module, feed_forward: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward

    def prepare(self, x2: Tensor) -> Tensor | None:
        """What attention decides before it looks; no gradient flows through it."""
        decided: Tensor | None = self.attention.prepare(x2)
        return decided

    def forward(self, x1: Tensor, x2: Tensor, prepared: Tensor | None) -> Pair:
        """From the streams before the block to those behind it."""
        y1 = x1 + self.attention(x2, prepared)
        return y1, x2 + self.feed_forward(y1)


def run_reversibly(blocks: nn.ModuleList, x1: Tensor, x2: Tensor) -> Pair:
    """Both streams through all blocks, with ordinary gradients at the memory of one block."""
    if torch.is_grad_enabled():
        apply: Any = _Reversible.apply
        streams: Pair = apply(x1, x2, blocks, *blocks.parameters())
        return streams
    for block in blocks:
        assert isinstance(block, ReversibleBlock)
        x1, x2 = block(x1, x2, block.prepare(x2))
    return x1, x2


class _Reversible(torch.autograd.Function):
    """The parameters are arguments so that their gradients are results like any other."""

    @staticmethod
    def forward(ctx: Any, x1: Tensor, x2: Tensor, blocks: Any, *_: Tensor) -> Pair:
        kind = x1.device.type
        ctx.autocast = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
        ctx.blocks, ctx.seeds, decided = blocks, [], []
        with _precision(ctx.autocast):
            for block in blocks:
                decided.append(block.prepare(x2))
                ctx.seeds.append(torch.randint(2**62, (2,)).tolist())
                with _seeded(ctx.seeds[-1][0], x1.device):
                    x1 = x1 + block.attention(x2, decided[-1])
                with _seeded(ctx.seeds[-1][1], x1.device):
                    x2 = x2 + block.feed_forward(x1)
        ctx.save_for_backward(x1, x2, *decided)
        return x1, x2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y1, y2, *decided = ctx.saved_tensors
        dy1, dy2 = gradients
        found: list[Tensor | None] = []
        for block, seeds, choices in zip(
            reversed(ctx.blocks), reversed(ctx.seeds), reversed(decided), strict=True
        ):
            with _seeded(seeds[1], y1.device), _precision(ctx.autocast):
                made, by_y1, feed_forward = _run_again(block.feed_forward, dy2, y1)
            x2, dy1 = y2 - made, dy1 + by_y1
            with _seeded(seeds[0], y1.device), _precision(ctx.autocast):
                made, by_x2, attention = _run_again(block.attention, dy1, x2, choices)
            y1, y2, dy2 = y1 - made, x2, dy2 + by_x2
            found = [*attention, *feed_forward, *found]  # as `parameters` has them
        return dy1, dy2, None, *found


def _run_again(
    half: nn.Module, gradient: Tensor, x: Tensor, *others: Any
) -> tuple[Tensor, Tensor, Sequence[Tensor | None]]:
    """What a half makes of `x`, and the gradients of `x` and of the half's parameters."""
    x = x.detach().requires_grad_()
    parameters = list(half.parameters())
    wanted = [x, *(each for each in parameters if each.requires_grad)]
    with torch.enable_grad():
        made = half(x, *others)
    by_x, *rest = torch.autograd.grad(made, wanted, gradient.to(made.dtype))
    learned = iter(rest)
    return made.detach(), by_x, [next(learned) if p.requires_grad else None for p in parameters]


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Chance begins anew from a seed, and goes on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        torch.manual_seed(seed)
        yield


@contextmanager
def _precision(autocast: tuple[str, torch.dtype, bool]) -> Iterator[None]:
    """The arithmetic of the first pass. Its cache would hold weights that know no gradient."""
    kind, dtype, enabled = autocast
    with torch.autocast(kind, dtype, enabled, cache_enabled=False):
        yield
