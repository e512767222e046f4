"""Distributional losses, noisy layers and Munchausen's target against loops over numbers, written
from the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agents.dqn.c51 import categorical_loss, project
from agents.dqn.iqn import FractionEmbedding
from agents.dqn.munchausen import log_policy, munchausen_return, soft_values
from agents.dqn.noisy import NoisyLinear, Stream, draw_noise
from agents.dqn.quantile import midpoints, quantile_huber_loss

Rows = list[list[float]]
NUMBER = st.floats(-10, 10, width=32)


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


# ------------------------------------------------------------------ C51


def slow_projection(
    reward: float, discount: float, probabilities: list[float], atoms: list[float]
) -> list[float]:
    """Equation 7 of Bellemare et al. 2017, atom by atom."""
    step = (atoms[-1] - atoms[0]) / (len(atoms) - 1)
    found = []
    for atom in atoms:
        total = 0.0
        for probability, other in zip(probabilities, atoms, strict=True):
            moved = min(max(reward + discount * other, atoms[0]), atoms[-1])
            total += min(max(1 - abs(moved - atom) / step, 0), 1) * probability
        found.append(total)
    return found


@settings(max_examples=60)
@given(
    atoms=st.integers(2, 7),
    low=st.floats(-5, 1),
    width=st.floats(0.5, 8),
    reward=hnp.arrays(np.float32, 3, elements=NUMBER),
    discount=hnp.arrays(np.float32, 3, elements=st.sampled_from([0.0, 0.9, 1.0])),
    logits=hnp.arrays(np.float32, (3, 7), elements=NUMBER),
)
def test_projection_equals_equation_7(
    atoms: int, low: float, width: float, reward: np.ndarray, discount: np.ndarray,
    logits: np.ndarray,
) -> None:  # fmt: skip
    support = torch.linspace(low, low + width, atoms)
    probabilities = torch.tensor(logits[:, :atoms]).softmax(dim=1)
    got = project(torch.tensor(reward), torch.tensor(discount), probabilities, support)
    expected = [
        slow_projection(float(reward[row]), float(discount[row]), probabilities[row].tolist(),
                        support.tolist())
        for row in range(3)
    ]  # fmt: skip
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(got.sum(dim=1).numpy(), 1.0, atol=1e-5)


def test_a_target_between_the_atoms_keeps_its_mean() -> None:
    atoms = torch.linspace(-10, 10, 51)
    probabilities = torch.rand(4, 51, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    got = project(torch.tensor([0.3, -1, 0, 2]), torch.full((4,), 0.5), probabilities, atoms)
    expected = torch.tensor([0.3, -1, 0, 2]) + 0.5 * probabilities @ atoms
    torch.testing.assert_close(got @ atoms, expected, atol=1e-4, rtol=0)


def test_categorical_loss_is_cross_entropy_and_priority_divergence() -> None:
    logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]], requires_grad=True)
    target = torch.tensor([[0.2, 0.0, 0.8], [1 / 3, 1 / 3, 1 / 3]])
    loss, divergence = categorical_loss(logits, target)
    for row in range(2):
        predicted = softmax(logits[row].tolist())
        pairs = [(t, p) for t, p in zip(target[row].tolist(), predicted, strict=True) if t]
        assert loss[row].item() == pytest.approx(sum(-t * math.log(p) for t, p in pairs), 1e-5)
        apart = sum(t * math.log(t / p) for t, p in pairs)
        assert divergence[row].item() == pytest.approx(apart, abs=1e-6)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    expected = logits.softmax(dim=1) - target
    torch.testing.assert_close(logits.grad, expected.detach())


# ------------------------------------------------------------------ quantiles


def slow_quantile_loss(quantiles: list[float], taus: list[float], target: list[float]) -> float:
    """Equations 9 and 10 of Dabney et al. 2018 with kappa 1."""
    total = 0.0
    for quantile, tau in zip(quantiles, taus, strict=True):
        for sample in target:
            u = sample - quantile
            huber = u * u / 2 if abs(u) <= 1 else abs(u) - 0.5
            total += abs(tau - (1 if u < 0 else 0)) * huber / len(target)
    return total


@settings(max_examples=60)
@given(
    quantiles=hnp.arrays(np.float32, (2, 4), elements=NUMBER),
    taus=hnp.arrays(np.float32, (2, 4), elements=st.floats(0, 1, width=32)),
    target=hnp.arrays(np.float32, (2, 3), elements=NUMBER),
)
def test_quantile_loss_equals_a_loop(
    quantiles: np.ndarray, taus: np.ndarray, target: np.ndarray
) -> None:
    got = quantile_huber_loss(*map(torch.tensor, (quantiles, taus, target)))
    expected = [
        slow_quantile_loss(quantiles[row].tolist(), taus[row].tolist(), target[row].tolist())
        for row in range(2)
    ]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("off", [-200.0, 200.0])
def test_the_loss_falls_towards_the_quantiles_of_a_sample(off: float) -> None:
    """Of 0, 100 ... 10,000, so that the square near 0 does not matter."""
    sample = 100 * torch.arange(101.0).unsqueeze(0)
    quantiles = torch.tensor([[1250.0, 3750.0, 6250.0, 8750.0]]) + off
    quantiles.requires_grad_()
    quantile_huber_loss(quantiles, midpoints(4).unsqueeze(0), sample).sum().backward()  # type: ignore[no-untyped-call]
    assert quantiles.grad is not None
    assert (quantiles.grad.sign() == np.sign(off)).all()


def test_fractions_are_embedded_by_cosines() -> None:
    torch.manual_seed(0)
    embedding = FractionEmbedding(5)
    features, fractions = torch.randn(2, 5), torch.rand(2, 3)
    got = embedding(features, fractions)
    weight, bias = embedding.linear.weight.tolist(), embedding.linear.bias.tolist()
    for b in range(2):
        for n in range(3):
            cosines = [math.cos(math.pi * i * fractions[b, n].item()) for i in range(1, 65)]
            for d in range(5):
                phi = sum(w * c for w, c in zip(weight[d], cosines, strict=True)) + bias[d]
                expected = features[b, d].item() * max(phi, 0)
                assert got[b, n, d].item() == pytest.approx(expected, rel=1e-3, abs=1e-4)


# ------------------------------------------------------------------ noise


@pytest.mark.parametrize("noises", [1, 3])
@pytest.mark.parametrize("shape", [(3, 4), (3, 2, 4)])
def test_a_noisy_layer_has_the_weights_of_equations_10_and_11(
    noises: int, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    layer = NoisyLinear(4, 2, sigma=0.5)
    assert layer.weight_sigma.unique().tolist() == layer.bias_sigma.unique().tolist() == [0.25]
    assert max(layer.weight.abs().max(), layer.bias.abs().max()) <= 0.5
    x = torch.randn(shape)
    plain = draw_noise(np.random.default_rng(7), noises, layer.noise_size)
    got = layer(x, torch.from_numpy(plain))
    for row in range(3):
        noise = plain[row % noises].tolist()
        for out in range(2):
            weights = [
                layer.weight[out, i].item() + 0.25 * noise[4 + out] * noise[i] for i in range(4)
            ]
            bias = layer.bias[out].item() + 0.25 * noise[4 + out]
            expected = x[row] @ torch.tensor(weights) + bias
            torch.testing.assert_close(got[row, ..., out], expected)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


def test_noise_is_the_signed_root_of_normal_numbers() -> None:
    noise = draw_noise(np.random.default_rng(3), 2, 50_000)
    normal = np.random.default_rng(3).standard_normal((2, 50_000), np.float32)
    np.testing.assert_allclose(np.sign(noise) * noise**2, normal, rtol=1e-5, atol=1e-9)


def test_sigma_learns() -> None:
    stream = Stream(3, 4, 2, sigma=0.5)
    noise = torch.from_numpy(draw_noise(np.random.default_rng(0), 1, sum(stream.noise_sizes)))
    stream(torch.ones(2, 3), noise).sum().backward()
    for layer in (stream[0], stream[2]):
        assert layer.weight_sigma.grad.abs().sum() > 0 and layer.bias_sigma.grad.abs().sum() > 0


# ------------------------------------------------------------------ Munchausen


def test_munchausen_target_equals_a_loop() -> None:
    alpha, tau, least = 0.9, 0.3, -1.0
    q_tm1, q_t = [[1.0, 0.2, -3.0], [0.0, 0.1, 0.2]], [[0.5, 0.4, 9.0], [1.0, -1.0, 0.0]]
    legal_t = [[True, True, False], [True, True, True]]
    action, reward, discount = [2, 0], [1.0, -0.5], [0.9, 0.8]
    log_policy_t = log_policy(torch.tensor(q_t), tau, torch.tensor(legal_t))
    got = munchausen_return(
        torch.tensor(reward), log_policy(torch.tensor(q_tm1), tau, None),
        torch.tensor(action), alpha, least,
    )  # fmt: skip
    got = got + torch.tensor(discount) * soft_values(torch.tensor(q_t), log_policy_t, tau)
    by_quantile = soft_values(
        torch.tensor(q_t).unsqueeze(2) + torch.tensor([-1.0, 1.0]), log_policy_t, tau
    )
    for row in range(2):
        before = softmax([q / tau for q in q_tm1[row]])
        bonus = alpha * min(0.0, max(least, tau * math.log(before[action[row]])))
        values = [q for q, legal in zip(q_t[row], legal_t[row], strict=True) if legal]
        after = softmax([q / tau for q in values])
        soft = sum(p * (q - tau * math.log(p)) for p, q in zip(after, values, strict=True))
        assert got[row].item() == pytest.approx(reward[row] + bonus + discount[row] * soft)
        expected = [pytest.approx(soft - 1, 1e-5), pytest.approx(soft + 1, 1e-5)]
        assert by_quantile[row].tolist() == expected


@pytest.mark.parametrize("temperature", [0.03, 50.0])
def test_a_state_without_legal_actions_gives_a_number(temperature: float) -> None:
    """What follows a finished episode may have none; its discount is 0."""
    policy = log_policy(torch.randn(1, 3), temperature, torch.zeros(1, 3, dtype=torch.bool))
    assert soft_values(torch.randn(1, 3), policy, temperature).isfinite().all()
