"""The papers' RMSProp against a slow numpy version, and fused Adam against torch's plain one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.errors import UserError
from core.optimisers import CentredRMSProp, build_optimiser

NUMBER = st.floats(-5, 5, width=32)


def slow_rmsprop(
    weights: np.ndarray, gradients: list[np.ndarray], rate: float, epsilon: float
) -> np.ndarray:
    """Graves 2013, equations 38 to 41, without momentum, element by element."""
    weights = weights.copy()
    for index in range(len(weights)):
        mean = square = 0.0
        for gradient in gradients:
            g = gradient[index]
            square = 0.95 * square + 0.05 * g * g
            mean = 0.95 * mean + 0.05 * g
            weights[index] -= rate * g / np.sqrt(square - mean * mean + epsilon)
    return weights


@settings(deadline=None)
@given(
    gradients=st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=15),
    epsilon=st.sampled_from([0.01, 1e-5]),
)
def test_rmsprop_equals_the_paper(
    gradients: list[tuple[float, float, float]], epsilon: float
) -> None:
    start = np.array([0.3, -1.0, 2.0])
    # Two tensors in double, so that the foreach kernels run and rounding hides nothing.
    parts = [nn.Parameter(torch.tensor(p)) for p in (start[:2], start[2:])]
    idle = nn.Parameter(torch.ones(1))  # has no gradient
    optimiser = build_optimiser("rmsprop", [*parts, idle], 0.01, epsilon)
    assert isinstance(optimiser, CentredRMSProp)
    for g in gradients:
        parts[0].grad = torch.tensor(g[:2], dtype=torch.float64)
        parts[1].grad = torch.tensor(g[2:], dtype=torch.float64)
        optimiser.step()
    expected = slow_rmsprop(start, [np.array(g) for g in gradients], 0.01, epsilon)
    got = torch.cat(tuple(parts)).detach().numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
    assert idle.item() == 1.0


def test_rmsprop_survives_a_constant_gradient() -> None:
    """E[g^2] - E[g]^2 then rounds to either side of zero."""
    weight = nn.Parameter(torch.zeros(3))
    optimiser = CentredRMSProp([weight], 0.01, decay=0.95, epsilon=1e-8)
    for _ in range(400):
        weight.grad = torch.tensor([10.0, -3.3, 777.0])
        optimiser.step()
    assert torch.isfinite(weight).all()


def test_fused_adam_equals_plain_adam() -> None:
    """Also for channels_last convolutions, whose elements lie in another order."""
    torch.manual_seed(0)
    inputs = torch.randn(6, 3, 7, 7)
    results = []
    for fused in (True, False):
        torch.manual_seed(1)
        network: nn.Module = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(100, 2)
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        parameters = network.parameters()
        optimiser: torch.optim.Optimizer = (
            build_optimiser("adam", parameters, 1e-2, 1e-4)
            if fused
            else torch.optim.Adam(parameters, lr=1e-2, eps=1e-4, foreach=False)
        )
        for _ in range(20):
            optimiser.zero_grad()
            network(inputs).square().mean().backward()
            optimiser.step()
        results.append(torch.cat([p.detach().reshape(-1) for p in network.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_unknown_optimisers_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'rmsprop'"):
        build_optimiser("rmsprob", [], 1e-3, 1e-8)
