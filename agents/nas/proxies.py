"""Scores of networks that nobody trained: zero-cost proxies.

    parameters  how many there are: what every other proxy has to beat
    synflow     Tanaka et al. 2020 (arXiv 2006.05467), as Abdelfattah et al. 2021 (arXiv 2101.08134)
    nwot        Mellor et al. 2021 (arXiv 2006.04647, version 3): how differently ReLUs take images
    jacov       the same, version 1: how differently the output depends on images

Legend: B images, C channels, H W plane, D = C H W.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from agents.nas.evaluator import Child, Result
from core.errors import UserError
from core.seeds import derived_seed
from tasks.problem import Stop

RELU = ("relu", "relu_")
JACOV_OFFSET = 1e-5
"""k in version 1 of Mellor et al."""


def synflow(network: nn.Module, images: Tensor) -> float:
    """Logarithm of the sum of |w * dR/dw| over all matrices and filters, where R is the sum of
    the outputs for an image of ones and every weight is replaced by its magnitude.

    Args:
        network: fresh, so that its normalisation in evaluation mode changes next to nothing; its
            weights are the same afterwards.
        images: [B, C, H, W], of which only the size counts.
    """
    network.eval().double()
    saved = {name: p.detach().clone() for name, p in network.named_parameters()}
    with torch.no_grad():
        for p in network.parameters():
            p.abs_()
    network.zero_grad()
    network(torch.ones_like(images[:1], dtype=torch.float64)).sum().backward()
    flow = sum(
        float((p.detach() * p.grad).abs().sum())
        for p in network.parameters()
        if p.ndim > 1 and p.grad is not None
    )
    with torch.no_grad():
        for name, p in network.named_parameters():
            p.copy_(saved[name])
    network.zero_grad()
    network.float()
    return math.log(flow) if flow > 0 else -math.inf


class _Relus(TorchFunctionMode):
    """Adds up, over all units of all ReLUs, whether two images are on the same side of zero."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel: Tensor | None = None

    def __torch_function__(
        self,
        function: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(function, "__name__", "") in RELU and args:
            on = (args[0] > 0).flatten(1).double()
            same = on @ on.T + (1 - on) @ (1 - on).T
            self.kernel = same if self.kernel is None else self.kernel + same
        return function(*args, **(kwargs or {}))


@torch.no_grad()
def nwot(network: nn.Module, images: Tensor) -> float:
    """Logarithm of the determinant of the kernel [B, B] of how many units of ReLUs two images have
    on the same side; minus infinity where two images are alike to all of them."""
    network.train()
    with _Relus() as relus:
        network(images)
    if relus.kernel is None:
        return -math.inf
    sign, logarithm = torch.linalg.slogdet(relus.kernel)
    return float(logarithm) if float(sign) > 0 else -math.inf


def jacov(network: nn.Module, images: Tensor) -> float:
    """Minus the sum of log(v + k) + 1 / (v + k) over the eigenvalues v of the correlations between
    images of the gradient of the sum of outputs, [B, D]."""
    network.train()
    images = images.clone().requires_grad_()
    (jacobian,) = torch.autograd.grad(network(images).sum(), images)
    rows = jacobian.flatten(1).double().numpy()
    with np.errstate(all="ignore"):
        correlations = np.corrcoef(rows)
    if not np.isfinite(correlations).all():
        return -math.inf
    values = np.linalg.eigvalsh(correlations) + JACOV_OFFSET
    if not (values > 0).all():
        return -math.inf
    return float(-np.sum(np.log(values) + 1 / values))


def parameters(network: nn.Module, images: Tensor) -> float:
    """How many there are."""
    return float(sum(p.numel() for p in network.parameters()))


PROXIES: dict[str, Callable[[nn.Module, Tensor], float]] = {
    "parameters": parameters,
    "synflow": synflow,
    "nwot": nwot,
    "jacov": jacov,
}


class ProxyEvaluator:
    """An `agents.nas.evaluator.Evaluator` that trains nothing."""

    def __init__(
        self,
        proxy: str,
        build: Callable[[Mapping[str, Any]], nn.Module],
        images: Tensor,
        seed: int,
    ) -> None:
        """Args:
        proxy: one of PROXIES.
        build: from a design to its network, with weights from torch's generator.
        images: that networks are shown, float32 [B, C, H, W].
        seed: of the run.
        """
        self.proxy = proxy
        self.build = build
        self.images = images
        self.seed = seed
        self._children: deque[Child] = deque()

    def start(self, children: Sequence[Child]) -> None:
        """Begin with these."""
        self._children = deque(children)

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        """Those of which there was time for, one at least."""
        end = time.monotonic() + seconds
        results: list[tuple[int, Result]] = []
        while self._children and (not results or time.monotonic() < end):
            child = self._children.popleft()
            results.append((child.number, self._result(child)))
        return results

    def _result(self, child: Child) -> Result:
        started = time.monotonic()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derived_seed(self.seed, "child", child.number))
                network = self.build(child.design)
                score = PROXIES[self.proxy](network, self.images)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"[:300]
            return Result("failed", {}, time.monotonic() - started, text)
        seconds = time.monotonic() - started
        if not math.isfinite(score):
            return Result("diverged", {}, seconds, f"{self.proxy} is {score}")
        metrics = {"score": score, "parameters": parameters(network, self.images)}
        return Result("ok", metrics, seconds)

    def test(self, child: Child, seeds: int, stop: Stop) -> Mapping[str, Any]:
        """Raises UserError: a network that nobody trained is not tested."""
        raise UserError(
            "this search trained nothing: train its best design with --evaluator train, or as "
            "--network of tengen train classify"
        )

    def close(self) -> None:
        """Forget the rest."""
        self._children.clear()
