"""A copy of a network that does not learn: what acts, is scored or gives targets meanwhile."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from core.learner import Arithmetic, load_weights

Network = TypeVar("Network", bound=nn.Module)


@runtime_checkable
class FitsBuffers(Protocol):
    """A module whose buffers belong to its weights so closely that their average fits none, as the
    average of unit vectors is none: an average over time copies them, and has them fitted."""

    def fit_buffers(self) -> None:
        """Fit them to the present weights."""


class FrozenCopy(Generic[Network]):
    """The weights of a network as they were at the last boundary, or their average over time."""

    def __init__(self, source: Network) -> None:
        self.source = source
        self.network = copy.deepcopy(source).requires_grad_(False)
        self._fitting: list[FitsBuffers] = []
        self._copied: set[str] = set()
        for name, module in self.network.named_modules():
            buffers = module.named_buffers(recurse=False)
            if isinstance(module, FitsBuffers):
                self._fitting.append(module)
                self._copied |= {f"{name}.{buffer}".removeprefix(".") for buffer, _ in buffers}

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the source's present weights."""
        newest = self.source.state_dict()
        for name, own in self.network.state_dict().items():
            own.copy_(newest[name])

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Keep the share ``decay`` of the copy, take the rest from the source's present weights.
        Whole numbers are copied, and so are the buffers of modules that then fit them."""
        newest, own = self.source.state_dict(), self.network.state_dict()
        averaged = [
            name
            for name, value in own.items()
            if value.dtype.is_floating_point and name not in self._copied
        ]
        # In one call, which counts on a GPU.
        average_all = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average_all([own[name] for name in averaged], [newest[name] for name in averaged], 0)
        for name in own.keys() - set(averaged):
            own[name].copy_(newest[name])
        for module in self._fitting:
            module.fit_buffers()

    def state_dict(self) -> dict[str, Tensor]:
        """The copy's own weights."""
        return dict(self.network.state_dict())

    def load_state_dict(self, weights: Mapping[str, Tensor]) -> None:
        """Take these weights. Raises UserError when they belong to another network."""
        load_weights(self.network, weights)


class ActingNetwork(Generic[Network]):
    """What acts: the network that learns, or a copy of it where one learns while the other acts."""

    def __init__(self, learning: Network, arithmetic: Arithmetic, *, meanwhile: bool) -> None:
        self._copy = FrozenCopy(learning) if meanwhile else None
        self.network = learning if self._copy is None else self._copy.network
        if self._copy is not None:
            # Dropout would take from torch's random numbers while learning does.
            replace(arithmetic, compile=False).place(self.network.eval())

    def refresh(self) -> None:
        """Act with the present weights from now on."""
        if self._copy is not None:
            self._copy.refresh()
