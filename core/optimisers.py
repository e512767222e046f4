"""Optimisers by name, among them the RMSProp that DQN was trained with.

    sgd            heavy ball, or Nesterov's     Sutskever et al. 2013
    adam           weight decay as an L2 loss    Kingma & Ba 2015, arXiv 1412.6980
    adamw          weight decay on its own       Loshchilov & Hutter 2019, arXiv 1711.05101
    radam          Adam that warms itself up     Liu et al. 2020, arXiv 1908.03265
    rmsprop        of DQN: centred, epsilon inside the root
    rmsprop_torch  torch's: epsilon outside the root

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

DROWNING = 1e8
"""As Adam's epsilon it leaves nothing of the second moment."""
OPTIMISERS = ("sgd", "adam", "adamw", "radam", "rmsprop", "rmsprop_torch")


def build_optimiser(
    name: str,
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    epsilon: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    beta1: float = 0.9,
    beta2: float = 0.999,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """An optimiser by name; where torch has one fused kernel for it, it runs as one.

    Args:
        name: one of OPTIMISERS.
        parameters: or groups of them, each with options of its own.
        learning_rate: of every group that has none.
        epsilon: in the denominator; sgd has none.
        momentum: of sgd and rmsprop_torch.
        nesterov: for sgd, look ahead along the momentum.
        beta1: decay of the first moment of adam, adamw and radam, a step.
        beta2: decay of the second moment of adam, adamw and radam, a step.
        weight_decay: an L2 loss for all but adamw.

    Raises:
        UserError: unknown name, or an option that the optimiser does not have.
    """
    if name == "rmsprop":
        if weight_decay or momentum:
            raise UserError("rmsprop has no weight decay and no momentum; rmsprop_torch has both")
        return CentredRMSProp(parameters, learning_rate, decay=0.95, epsilon=epsilon)
    if nesterov and (name != "sgd" or not momentum):
        raise UserError(f"nesterov is for sgd with a momentum, not for {name}")
    options: dict[str, Any] = {"lr": learning_rate, "weight_decay": weight_decay}
    if name == "sgd":
        return torch.optim.SGD(
            parameters, momentum=momentum, nesterov=nesterov, fused=True, **options
        )
    if name in ("adam", "adamw"):
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        return kind(parameters, betas=(beta1, beta2), eps=epsilon, fused=True, **options)
    if name == "radam":
        return RectifiedAdam(parameters, betas=(beta1, beta2), eps=epsilon, fused=True, **options)
    if name == "rmsprop_torch":
        return torch.optim.RMSprop(parameters, eps=epsilon, momentum=momentum, **options)
    raise UserError(
        f"there is no optimiser {name!r}{did_you_mean(name, OPTIMISERS)} "
        f"(known: {', '.join(OPTIMISERS)})"
    )


class CentredRMSProp(torch.optim.Optimizer):
    """RMSProp of Graves 2013 with epsilon inside the root and no momentum on the step."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        *,
        decay: float,
        epsilon: float,
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


class RectifiedAdam(torch.optim.Adam):
    """RAdam (Liu et al. 2020, algorithm 2) by the one kernel that torch has for Adam only.

    Its step is Adam's with other numbers: the step size times the rectification, and epsilon beside
    the root of the second moment before that is corrected. torch's RAdam takes a dozen passes over
    the weights for it. Steps are counted by group, whose parameters must all have gradients from
    the first on: torch's own count lies on the device, and asking for it would wait for a GPU.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from this one's state, or from that of torch's RAdam."""
        groups = [{**group, "fused": True} for group in state_dict["param_groups"]]
        super().load_state_dict({**state_dict, "param_groups": groups})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        wanted = [(group["lr"], group["eps"]) for group in self.param_groups]
        for group in self.param_groups:
            group["steps"] = (group.get("steps") or self._steps_of(group)) + 1
            self._rectify(group, group["steps"])
        super().step(closure)
        for group, (learning_rate, epsilon) in zip(self.param_groups, wanted, strict=True):
            group["lr"], group["eps"] = learning_rate, epsilon

    @staticmethod
    def _rectify(group: dict[str, Any], steps: int) -> None:
        _, beta2 = group["betas"]
        correction = 1 - beta2**steps
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * steps * beta2**steps / correction
        if length > 5:
            factor = (length - 4) * (length - 2) * longest
            group["lr"] *= (factor / ((longest - 4) * (longest - 2) * length)) ** 0.5
            group["eps"] /= correction**0.5
        else:  # too few gradients for a second moment: a huge epsilon drowns it
            group["lr"] *= DROWNING
            group["eps"] = DROWNING

    def _steps_of(self, group: dict[str, Any]) -> int:
        """Steps made before a resume from what torch's RAdam has saved."""
        made = [self.state[p]["step"] for p in group["params"] if p in self.state]
        return int(max(made, default=0))
