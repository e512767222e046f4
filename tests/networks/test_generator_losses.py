"""Losses of generators and critics: known gradients, known values of the game, second derivatives.

Outside truth: the derivatives of the papers' formulas, -log 4 + 2 JSD of Goodfellow et al. 2014
(theorem 1), the parallel lines of Arjovsky et al. 2017 (example 1), finite differences in float64.
"""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from networks.generators import losses
from networks.generators.gan import GANConfig, build


def gradient_of(loss: Tensor, by: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, by)
    return gradient


def test_logit_gradients_are_those_of_the_paper() -> None:
    logits = torch.linspace(-30, 30, 61, dtype=torch.float64, requires_grad=True)
    count, d = len(logits), torch.sigmoid(logits.detach())
    cases = [
        (losses.minimax_loss(logits), -d),
        (losses.non_saturating_loss(logits), d - 1),
        (losses.discriminator_loss(logits, torch.zeros(1)), d - 1),
        (losses.discriminator_loss(torch.zeros(1), logits), d),
        (losses.wasserstein_generator_loss(logits), -torch.ones_like(d)),
        (losses.wasserstein_critic_loss(logits, torch.zeros(1)), -torch.ones_like(d)),
    ]
    for loss, expected in cases:
        torch.testing.assert_close(gradient_of(loss, logits) * count, expected)


def test_the_best_discriminator_has_the_value_of_the_jensen_shannon_divergence() -> None:
    p = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
    q = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for _ in range(500):  # a discriminator of three places, as many samples as there are in total
        real = torch.nn.functional.softplus(-logits) @ p
        fake = torch.nn.functional.softplus(logits) @ q
        step = gradient_of(real + fake, logits)
        logits = (logits - 2 * step).detach().requires_grad_()
    torch.testing.assert_close(logits.detach(), (p / q).log(), atol=1e-6, rtol=0)
    counts = [(weights * 20).round().long() for weights in (p, q)]
    value = -losses.discriminator_loss(*(logits.repeat_interleave(n) for n in counts))
    m = (p + q) / 2
    divergence = ((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2
    assert value.item() == pytest.approx(-math.log(4) + 2 * divergence.item(), abs=1e-9)


@pytest.mark.parametrize("apart", [0.25, 2.0])
def test_on_parallel_lines_the_penalised_critic_finds_the_distance(apart: float) -> None:
    torch.manual_seed(0)
    y = torch.rand(64)
    real = torch.stack([torch.zeros(64), y], dim=1)
    fake = torch.stack([torch.full((64,), apart), y], dim=1)
    weights = torch.zeros(2, requires_grad=True)  # a linear critic is the best one here
    for _ in range(200):
        loss = losses.wasserstein_critic_loss(real @ weights, fake @ weights)
        loss = loss + 10 * losses.gradient_penalty(partial(torch.matmul, other=weights), real, fake)
        weights = (weights - 0.05 * gradient_of(loss, weights)).detach().requires_grad_()
    distance = -losses.wasserstein_critic_loss(real @ weights, fake @ weights).item()
    # The penalty of weight 10 lets the slope exceed 1 by apart / 20.
    assert distance == pytest.approx(apart * (1 + apart / 20), rel=1e-3)


@pytest.mark.parametrize("penalty", ["gradient", "r1"])
def test_second_derivatives_of_the_penalties(penalty: str) -> None:
    torch.manual_seed(0)
    critic = build(GANConfig(critic_hidden=(5, 4))).build_critic().double()
    names = [name for name, _ in critic.named_parameters()]
    parameters = tuple(p.detach().clone().requires_grad_() for p in critic.parameters())
    real, fake = torch.randn(2, 6, 2, dtype=torch.float64)

    def of_weights(*values: Tensor) -> Tensor:
        def scores(samples: Tensor) -> Tensor:
            found: Tensor = functional_call(
                critic, dict(zip(names, values, strict=True)), (samples,)
            )
            return found

        torch.manual_seed(1)  # the same places on the lines
        if penalty == "r1":
            return losses.r1_penalty(scores, real)
        return losses.gradient_penalty(scores, real, fake)

    assert torch.autograd.gradcheck(of_weights, parameters)
    moved = torch.autograd.grad(of_weights(*parameters), parameters, allow_unused=True)
    assert max(float(g.abs().max()) for g in moved if g is not None) > 1e-3


def test_penalties_of_a_critic_whose_slope_is_known() -> None:
    real, fake = torch.randn(2, 10, 3, 4, 4)

    def critic(samples: Tensor) -> Tensor:
        return 3 * samples[:, 0, 0, 0] + 4 * samples[:, 1, 1, 1]

    assert losses.gradient_penalty(critic, real, fake).item() == pytest.approx((5 - 1) ** 2)
    assert losses.r1_penalty(critic, real).item() == pytest.approx(25 / 2)


def test_clipped_weights_lie_within_the_bound() -> None:
    critic = build(GANConfig()).build_critic()
    losses.clip_weights(critic, 0.01)
    bounds = [float(parameter.detach().abs().max()) for parameter in critic.parameters()]
    assert max(bounds) == pytest.approx(0.01)
