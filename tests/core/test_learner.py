"""The learner: exact continuation, clipping, metrics, and the guard against NaN."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import UserError
from core.learner import NORM_EVERY, Arithmetic, DivergedError, Learner, load_weights
from core.optimisers import build_optimiser

INPUTS = torch.rand(8, 4, 12, 12, generator=torch.Generator().manual_seed(0))


def make_learner(optimiser: str = "adam", seed: int = 0, **options: Any) -> Learner:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(384, 3)
    )
    arithmetic = Arithmetic(bf16=options.pop("bf16", False))
    network = arithmetic.place(network)  # type: ignore[assignment]
    built = build_optimiser(optimiser, network.parameters(), 1e-3, 1e-4)
    return Learner(network, built, arithmetic, **options)


def train(learner: Learner, updates: int) -> None:
    for _ in range(updates):
        inputs = INPUTS * (1 + learner.updates % 5)

        def loss(inputs: Tensor = inputs) -> tuple[Tensor, dict[str, Tensor]]:
            value = learner.network(inputs)
            return (value - 1).square().mean(), {"value": value.mean()}

        learner.update(loss)


def scalar_learner(max_gradient_norm: float = 0.0) -> tuple[Learner, nn.Linear]:
    """Weights (3, 4) under plain gradient descent."""
    network = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[3.0, 4.0]]))
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    return Learner(network, optimiser, Arithmetic(), max_gradient_norm), network


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw", "rmsprop", "rmsprop_torch"])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_stored_learner_goes_on_bit_for_bit(optimiser: str, bf16: bool) -> None:
    """Also though a file keeps no memory layout: fused Adam would scramble its moments."""
    learner = make_learner(optimiser, bf16=bf16, max_gradient_norm=0.5)
    train(learner, 3)
    state = without_layout(learner.state_dict())
    resumed = make_learner(optimiser, seed=1, bf16=bf16, max_gradient_norm=0.5)
    train(resumed, 1)
    resumed.load_state_dict(state)
    assert resumed.updates == 3
    train(learner, 4)
    train(resumed, 4)
    for ours, theirs in zip(
        learner.network.parameters(), resumed.network.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)
        for name, moment in learner.optimiser.state[ours].items():
            assert torch.equal(moment, resumed.optimiser.state[theirs][name])


def without_layout(value: Any) -> Any:
    """A copy with every tensor contiguous, as a checkpoint gives it back."""
    if isinstance(value, Tensor):
        return torch.from_numpy(value.detach().numpy().copy(order="C"))
    if isinstance(value, dict):
        return {key: without_layout(item) for key, item in value.items()}
    return copy.deepcopy(value)


def test_gradient_clip() -> None:
    """Gradient (6, 8) has norm 10; clipped to 2 it is (1.2, 1.6)."""
    for limit, expected in ((2.0, [[1.8, 2.4]]), (0.0, [[-3.0, -4.0]]), (50.0, [[-3.0, -4.0]])):
        learner, network = scalar_learner(limit)
        learner.update(lambda n=network: (n.weight.square().sum(), {}))  # type: ignore[misc]
        torch.testing.assert_close(network.weight.data, torch.tensor(expected))
        assert learner.drain_metrics()["gradient_norm"] == pytest.approx(10.0)


def test_metrics_are_means_and_maxima_since_the_last_drain() -> None:
    learner, network = scalar_learner()
    learner.set_learning_rate(0.0)
    assert learner.learning_rate == 0.0
    for batch in ([1.0, 2.0, 6.0], [-4.0, -8.0]):
        for number in batch:
            metrics = {"q": torch.tensor(number), "q_max": torch.tensor(number)}
            learner.update(lambda m=metrics: (network.weight.sum(), m))  # type: ignore[misc]
        drained = learner.drain_metrics()
        assert drained["q"] == sum(batch) / len(batch)
        assert drained["q_max"] == max(batch)
        assert drained["loss"] == 7.0
    assert learner.drain_metrics() == {}


def test_unclipped_gradient_norm_is_measured_now_and_then() -> None:
    learner, network = scalar_learner()
    learner.set_learning_rate(0.0)
    measured = []
    for _ in range(NORM_EVERY + 1):
        learner.update(lambda: (network.weight.square().sum(), {}))
        measured.append(learner.drain_metrics().get("gradient_norm"))
    assert measured == [10.0] + [None] * (NORM_EVERY - 1) + [10.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_diverged_loss_never_reaches_the_weights(bad: float) -> None:
    learner = make_learner()
    train(learner, 2)
    before = copy.deepcopy(learner.network.state_dict())
    with pytest.raises(DivergedError, match="update 3"):
        learner.update(lambda: (learner.network(INPUTS).sum() * bad, {}))
    assert learner.updates == 2
    for name, tensor in learner.network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("weight"), "lacks 'weight'"),
        (lambda w: w.update(extra=torch.zeros(1)), "unknown 'extra'"),
        (lambda w: w.update(weight=torch.zeros(1, 3)), r"'weight' has shape \(1, 3\).*\(1, 2\)"),
    ],
)
def test_foreign_weights_are_refused(change: Any, message: str) -> None:
    network = nn.Linear(2, 1)
    weights = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    before = copy.deepcopy(network.state_dict())
    change(weights)
    with pytest.raises(UserError, match=message):
        load_weights(network, weights)
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
