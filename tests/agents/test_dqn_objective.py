"""What an update of DQN's family takes from which network, against loops; and its networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from agents.dqn.agent import build_network
from agents.dqn.config import DQNConfig
from agents.dqn.network import Draws, QNetwork
from agents.dqn.objective import Batch, Objective
from core.config import check
from core.errors import UserError
from core.lanes import ObservationSpec
from tests.agents.test_dqn_family import Rows, slow_projection, slow_quantile_loss, softmax

# ------------------------------------------------------------------ networks and objective


class FakeLanes:
    """What a network must know of its environment."""

    observation_spec = ObservationSpec((3,), "float32")
    num_actions = 4


def network(seed: int, **options: Any) -> tuple[DQNConfig, QNetwork]:
    torch.manual_seed(seed)
    config = DQNConfig(network="mlp", hidden="8", atoms=5, quantiles=6, lowest_return=-2,
                       highest_return=2, policy_fractions=7, **options)  # fmt: skip
    return config, build_network(config, FakeLanes())  # type: ignore[arg-type]


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("distribution", ["none", "c51", "quantile", "iqn"])
def test_networks_of_every_kind_give_values(distribution: str, dueling: bool, noisy: bool) -> None:
    _, made = network(1, distribution=distribution, dueling=dueling, noisy=noisy)
    observation = torch.randn(2, 3)
    values = made(observation)
    assert values.shape == (2, 4)
    torch.testing.assert_close(values, made(observation), rtol=0, atol=0)
    whole = made(observation, whole=True)
    size = {"none": None, "c51": 5, "quantile": 6, "iqn": 7}[distribution]
    assert whole.shape == ((2, 4) if size is None else (2, 4, size))
    torch.testing.assert_close(made.mean(whole), values)
    assert made.is_random == (noisy or distribution == "iqn")
    draws = made.draw(np.random.default_rng(0), torch.as_tensor, 2, 9, noises=2)
    assert torch.equal(made(observation, draws), values) != made.is_random
    if distribution == "iqn":
        assert made(observation, draws, whole=True).shape == (2, 4, 9)


@pytest.mark.parametrize("distribution", ["c51", "quantile", "iqn"])
def test_dueling_streams_meet_in_every_atom_or_quantile(distribution: str) -> None:
    """Over the actions, each one's mean is the value stream's."""
    _, made = network(2, distribution=distribution, dueling=True)
    observation = torch.randn(3, 3)
    features = made.torso(observation)
    if made.embedding is not None:
        features = made.embedding(features, made.points.unsqueeze(0))
    assert made.value is not None
    value = made.value(features).reshape(3, -1)
    torch.testing.assert_close(made(observation, whole=True).mean(dim=1), value)


def a_batch(weight: bool) -> Batch:
    generator = torch.Generator().manual_seed(5)
    legal_tm1 = torch.tensor([[True, True, False, False], [False, True, True, True], [True] * 4])
    legal_t = torch.tensor([[True, False, True, True], [True] * 4, [False, True, True, False]])
    return Batch(
        torch.randn(3, 3, generator=generator),
        torch.tensor([0, 3, 2]),
        torch.tensor([1.0, -0.5, 0.25]),
        torch.tensor([0.9, 0.0, 0.81]),
        torch.randn(3, 3, generator=generator),
        legal_tm1=legal_tm1,
        legal_t=legal_t,
        weight=torch.tensor([1.0, 0.5, 0.2]) if weight else None,
    )


def slow_losses(config: DQNConfig, online: QNetwork, target: QNetwork, batch: Batch) -> Rows:
    """Loss and error of each transition, one by one, with the networks' mean weights."""
    rows = []
    assert batch.legal_t is not None and batch.legal_tm1 is not None
    for row in range(3):
        here, there = batch.observation_tm1[row : row + 1], batch.observation_t[row : row + 1]
        whole = target(there, whole=True)[0].tolist()
        values = target(there)[0].tolist()
        chooser = (online if config.double else target)(there)[0].tolist()
        legal = [a for a in range(4) if batch.legal_t[row, a]]
        best = max(legal, key=lambda action: chooser[action])
        reward, discount = batch.n_step_return[row].item(), batch.bootstrap_discount[row].item()
        action = int(batch.action_tm1[row])
        shares = {best: 1.0}
        entropy = dict.fromkeys(legal, 0.0)
        if config.munchausen:
            tau = config.munchausen_temperature
            policy = softmax([values[a] / tau for a in legal])
            shares = dict(zip(legal, policy, strict=True))
            entropy = {a: -tau * math.log(p) for a, p in shares.items()}
            before = [a for a in range(4) if batch.legal_tm1[row, a]]
            q_before = target(here)[0].tolist()
            taken = softmax([q_before[a] / tau for a in before])[before.index(action)]
            reward += config.munchausen_scale * max(config.munchausen_least, tau * math.log(taken))
        prediction = online(here, whole=True)[0, action].tolist()
        if config.distribution == "none":
            follow = sum(share * (whole[a] + entropy[a]) for a, share in shares.items())
            error = reward + discount * follow - prediction  # type: ignore[operator]
            rows.append([error**2, error])
        elif config.distribution == "c51":
            atoms = online.points.tolist()
            wanted = slow_projection(reward, discount, softmax(whole[best]), atoms)
            got = softmax(prediction)
            error = sum((w - g) * z for w, g, z in zip(wanted, got, atoms, strict=True))
            rows.append([sum(-w * math.log(g) for w, g in zip(wanted, got, strict=True)), error])
        else:
            follow_all = [
                reward + discount * sum(s * (whole[a][m] + entropy[a]) for a, s in shares.items())
                for m in range(len(whole[best]))
            ]
            taus = online.points.tolist()
            error = float(np.mean(follow_all) - np.mean(prediction))
            rows.append([slow_quantile_loss(prediction, taus, follow_all), error])
    return rows


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"distribution": kind, **switch}
        for kind in ("none", "c51", "quantile", "iqn")
        for switch in ({}, {"double": True, "dueling": True}, {"munchausen": True})
        if not (kind == "c51" and "munchausen" in switch)
    ],
    ids=lambda options: "-".join(str(key) for key in options.values()),
)
def test_an_update_minimises_what_the_papers_say(options: dict[str, Any], weighted: bool) -> None:
    """Without random draws: noise off, evenly spaced fractions."""
    config, online = network(1, munchausen_temperature=0.2, **options)
    _, target = network(2, **options)
    batch = a_batch(weighted)
    judged = Objective(config, online, target)(batch)
    slow = np.array(slow_losses(config, online, target, batch))
    weight = np.ones(3) if batch.weight is None else batch.weight.numpy()
    assert judged.loss.item() == pytest.approx((weight * slow[:, 0]).mean(), rel=1e-4)
    np.testing.assert_allclose(judged.errors.numpy(), slow[:, 1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(judged.q_tm1, online(batch.observation_tm1).detach())
    judged.loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in target.parameters())
    if config.distribution == "none":
        np.testing.assert_allclose(judged.priorities, abs(slow[:, 1]), rtol=1e-3, atol=1e-4)
    elif config.distribution != "c51":
        np.testing.assert_allclose(judged.priorities, slow[:, 0], rtol=1e-4)


@pytest.mark.parametrize("distribution", ["none", "c51", "quantile", "iqn"])
def test_what_is_learned_from_is_fp32_where_networks_compute_in_bf16(distribution: str) -> None:
    config, online = network(1, distribution=distribution, dueling=True)
    _, target = network(2, distribution=distribution, dueling=True)
    batch = a_batch(True)
    exact = Objective(config, online, target)(batch)
    with torch.autocast("cpu", torch.bfloat16):
        judged = Objective(config, online, target)(batch)
    for name in ("loss", "errors", "priorities"):
        assert getattr(judged, name).dtype == torch.float32
        torch.testing.assert_close(getattr(judged, name), getattr(exact, name), rtol=0.1, atol=0.05)


def test_all_weights_learn_where_a_network_also_judges_in_bf16() -> None:
    """Autocast of torch 2.9 kept the weights that it had cast without gradients before."""
    config, online = network(1, double=True)
    with torch.autocast("cpu", torch.bfloat16):
        judged = Objective(config, online, network(2)[1])(a_batch(False))
    judged.loss.backward()  # type: ignore[no-untyped-call]
    for parameter in online.parameters():
        assert parameter.grad is not None and parameter.grad.any()


def test_every_forward_has_noise_and_fractions_of_its_own() -> None:
    config, online = network(
        1, distribution="iqn", noisy=True, double=True, fractions=3, target_fractions=2
    )
    _, target = network(2, distribution="iqn", noisy=True)
    made: list[Draws] = []
    rng = np.random.default_rng(0)

    def draw(fractions: int) -> Draws:
        made.append(online.draw(rng, torch.as_tensor, 3, fractions))
        return made[-1]

    Objective(config, online, target)(a_batch(False), draw)
    counts = [None if d.fractions is None else d.fractions.shape for d in made]
    assert counts == [(3, 2), (3, 7), (3, 3)]
    noises = [d.noise for d in made if d.noise is not None]
    assert len({tuple(noise[0].tolist()) for noise in noises}) == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"distribution": "c51", "lowest_return": 3.0, "highest_return": 3.0}, "--lowest-return"),
        ({"munchausen": True, "double": True}, "--no-double"),
        ({"munchausen": True, "distribution": "c51"}, "not c51"),
    ],
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check(DQNConfig(**options))
