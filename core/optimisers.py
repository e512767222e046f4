"""Optimisers by name, and the RMSProp that DQN was trained with.

The published DQN divides by the square root of a *centred* second moment with the constant inside
the root: ``g / sqrt(E[g^2] - E[g]^2 + epsilon)`` (Mnih et al. 2015, extended data table 1, "minimum
squared gradient"; Graves 2013, arXiv 1308.0850, section 4.2). torch's RMSprop adds its epsilon
outside the root, which is another algorithm when the constant is large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import UserError, did_you_mean

OPTIMISERS = ("adam", "rmsprop")


def build_optimiser(
    name: str, parameters: Iterable[nn.Parameter], learning_rate: float, epsilon: float
) -> torch.optim.Optimizer:
    """An optimiser by name; Adam runs as one fused kernel.

    Raises:
        UserError: unknown name.
    """
    if name == "adam":
        return torch.optim.Adam(parameters, lr=learning_rate, eps=epsilon, fused=True)
    if name == "rmsprop":
        return CentredRMSProp(parameters, learning_rate, decay=0.95, epsilon=epsilon)
    raise UserError(f"there is no optimiser {name!r}{did_you_mean(name, OPTIMISERS)}")


class CentredRMSProp(torch.optim.Optimizer):
    """RMSProp of Graves 2013 with epsilon inside the root and no momentum on the step."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, *, decay: float, epsilon: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "decay": decay, "epsilon": epsilon})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            gradients = [p.grad for p in parameters]
            means = [self._moment(p, "mean") for p in parameters]
            squares = [self._moment(p, "square") for p in parameters]
            decay = group["decay"]
            torch._foreach_lerp_(means, gradients, 1 - decay)
            torch._foreach_mul_(squares, decay)
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - decay)
            variance = torch._foreach_addcmul(squares, means, means, -1.0)
            # Under a constant gradient rounding can make the difference negative.
            torch._foreach_clamp_min_(variance, 0.0)
            torch._foreach_add_(variance, group["epsilon"])
            torch._foreach_sqrt_(variance)
            torch._foreach_addcdiv_(parameters, gradients, variance, -group["lr"])

    def _moment(self, parameter: nn.Parameter, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        moment: Tensor = state[name]
        return moment
