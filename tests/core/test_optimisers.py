"""The papers' RMSProp against a slow numpy version, and the others against torch's plain ones."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

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


OTHERS: dict[str, tuple[dict[str, Any], type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": ({"momentum": 0.9, "nesterov": True}, torch.optim.SGD,
            {"momentum": 0.9, "nesterov": True}),
    "adam": ({"beta2": 0.98, "weight_decay": 0.1}, torch.optim.Adam,
             {"betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.1}),
    "adamw": ({"weight_decay": 0.1}, torch.optim.AdamW, {"eps": 1e-6, "weight_decay": 0.1}),
    "radam": ({}, torch.optim.RAdam, {"eps": 1e-6}),
    "rmsprop_torch": ({"momentum": 0.5}, torch.optim.RMSprop, {"eps": 1e-6, "momentum": 0.5}),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_the_others_are_torchs(name: str) -> None:
    options, kind, reference = OTHERS[name]
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 9)) for _ in range(2))
    optimisers = [
        build_optimiser(name, [ours], 0.01, 1e-6, **options),
        kind([theirs], lr=0.01, foreach=False, **reference),  # type: ignore[call-arg]
    ]
    random = torch.Generator().manual_seed(0)
    for _ in range(100):
        gradient = torch.randn(9, generator=random)
        for parameter, optimiser in zip((ours, theirs), optimisers, strict=True):
            parameter.grad = gradient.clone()
            optimiser.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_radam_goes_on_where_torchs_stopped() -> None:
    """Runs of before were trained by torch's."""
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 9)) for _ in range(2))
    slow = torch.optim.RAdam([theirs], lr=0.01, eps=1e-6)
    random = torch.Generator().manual_seed(0)

    def step(parameter: nn.Parameter, optimiser: torch.optim.Optimizer, gradient: Tensor) -> None:
        parameter.grad = gradient.clone()
        optimiser.step()

    for _ in range(4):  # one short of where it begins to rectify
        step(theirs, slow, torch.randn(9, generator=random))
    ours.data.copy_(theirs.data)
    fast = build_optimiser("radam", [ours], 1.0, 1.0)
    fast.load_state_dict(copy.deepcopy(slow.state_dict()))
    for _ in range(20):
        gradient = torch.randn(9, generator=random)
        step(theirs, slow, gradient)
        step(ours, fast, gradient)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert fast.param_groups[0]["lr"] == 0.01 and fast.param_groups[0]["eps"] == 1e-6


def test_groups_may_have_options_of_their_own() -> None:
    decaying, kept = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    groups = [{"params": [decaying]}, {"params": [kept], "weight_decay": 0.0}]
    optimiser = build_optimiser("adamw", groups, 0.1, 1e-8, weight_decay=0.5)
    for parameter in (decaying, kept):
        parameter.grad = torch.zeros(2)
    optimiser.step()
    assert decaying.tolist() == pytest.approx([0.95, 0.95]) and kept.tolist() == [1.0, 1.0]


def test_options_that_an_optimiser_lacks_are_refused() -> None:
    weight = [nn.Parameter(torch.ones(1))]
    with pytest.raises(UserError, match="rmsprop has no weight decay and no momentum"):
        build_optimiser("rmsprop", weight, 0.1, 1e-8, weight_decay=0.1)
    with pytest.raises(UserError, match="nesterov is for sgd with a momentum, not for adam"):
        build_optimiser("adam", weight, 0.1, 1e-8, momentum=0.9, nesterov=True)


def test_unknown_optimisers_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'rmsprop'"):
        build_optimiser("rmsprob", [], 1e-3, 1e-8)
