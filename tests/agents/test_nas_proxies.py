"""Proxies of untrained networks against slow versions on tiny networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents.nas.evaluator import Child
from agents.nas.proxies import ProxyEvaluator, jacov, nwot, parameters, synflow
from core.errors import UserError


def network(seed: int = 0) -> nn.Sequential:
    """Two matrices, with ReLUs after each of the first."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(),
        nn.Linear(4, 3, bias=False),
    )  # fmt: skip


IMAGES = torch.randn(4, 1, 2, 3, generator=torch.Generator().manual_seed(3))


def test_synflow_adds_up_all_paths() -> None:
    made = network()
    made[3].bias.data.zero_()  # type: ignore[union-attr, operator]
    before = [p.detach().clone() for p in made.parameters()]
    first, second, third = (
        made[i].weight.detach().double().abs().numpy()  # type: ignore[union-attr, operator]
        for i in (1, 3, 5)
    )
    paths = sum(
        third[o, k] * second[k, j] * first[j, i]
        for o in range(3) for k in range(4) for j in range(5) for i in range(6)
    )  # fmt: skip
    # Every path goes once through each of the three matrices.
    assert synflow(made, IMAGES) == pytest.approx(math.log(3 * paths), rel=1e-9)
    assert all(torch.equal(p, q) for p, q in zip(made.parameters(), before, strict=True))


def test_nwot_counts_units_on_the_same_side() -> None:
    made = network()
    hidden = made[1](IMAGES.flatten(1))
    values = torch.cat([hidden, made[3](torch.relu(hidden))], dim=1)
    kernel = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            kernel[i, j] = sum(bool(a > 0) == bool(b > 0) for a, b in
                               zip(values[i], values[j], strict=True))  # fmt: skip
    determinant = np.linalg.det(kernel)
    wanted = math.log(determinant) if determinant > 1e-9 else -math.inf
    assert math.isfinite(wanted)
    assert nwot(made, IMAGES) == pytest.approx(wanted, rel=1e-6)
    assert nwot(made, IMAGES[:1].repeat(2, 1, 1, 1)) == -math.inf, "images that are alike"


def test_jacov_is_that_of_the_jacobian_by_differences() -> None:
    made = network().double()
    images = IMAGES.double()
    rows = np.zeros((4, 6))
    for i in range(4):
        for d in range(6):
            step = torch.zeros(6, dtype=torch.float64)
            step[d] = 1e-7
            up, down = (made((images[i].flatten() + s * step)[None]).sum() for s in (1, -1))
            rows[i, d] = float(up - down) / 2e-7
    values = np.linalg.eigvalsh(np.corrcoef(rows)) + 1e-5
    wanted = -np.sum(np.log(values) + 1 / values)
    assert jacov(made, images) == pytest.approx(wanted, rel=1e-2)


def test_parameters_are_always_beside_a_proxy_and_a_bad_network_is_data() -> None:
    def build(design: Mapping[str, Any]) -> nn.Module:
        if design["bad"]:
            raise ValueError("no such network")
        return network(int(torch.initial_seed() % 1000))

    evaluator = ProxyEvaluator("nwot", build, IMAGES, seed=1)
    children = [Child(n, (n,), {"bad": n == 1}) for n in range(3)]
    evaluator.start(children)
    state = torch.get_rng_state()
    found: dict[int, Any] = {}
    while len(found) < 3:
        found |= dict(evaluator.poll(0.0))
    assert torch.equal(torch.get_rng_state(), state), "none of our random numbers are drawn"
    assert found[1].status == "failed" and "no such network" in found[1].message
    count = parameters(network(), torch.empty(0))
    assert found[0].metrics["parameters"] == count == 30 + 24 + 12
    evaluator.start(children[:1])
    assert dict(evaluator.poll(0.0))[0].metrics == found[0].metrics
    with pytest.raises(UserError, match="trained nothing"):
        evaluator.test(children[0], 3, lambda: False)


class Normed(nn.Module):
    """A ReLU by function, in two places."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(-torch.relu(x.flatten(1)))


def test_relus_are_seen_however_they_are_called() -> None:
    flat = torch.tensor([[1.0, -1, 1, -1, 1, 1], [1.0, 1, 1, -1, 1, 1]]).reshape(2, 1, 2, 3)
    kernel = np.array([[12.0, 11.0], [11.0, 12.0]])
    assert nwot(Normed(), flat) == pytest.approx(math.log(np.linalg.det(kernel)))
