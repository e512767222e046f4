"""The controller's probabilities, gradients and steps, against slow versions and enumeration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.nas.controller import Controller, make_policy
from agents.nas.controller_config import ControllerConfig
from agents.nas.lstm_policy import LSTMPolicy, loss_of
from agents.nas.policy import Batch
from agents.nas.softmaxes import SoftmaxTable
from core.files import state_tree
from envs.architecture.space import Anchor, Tokens, check, stages_of
from envs.architecture.spaces import make_space
from tests.search.small_space import SmallSpace, all_designs

SPACE = SmallSpace()
DESIGNS = {length: np.array(all_designs(SPACE, length)) for length in SPACE.lengths}
SHAPED: dict[str, Any] = {"temperature": 2.0, "tanh_constant": 1.5, "tied": False}


def config(policy: str, **options: Any) -> ControllerConfig:
    # Wider than the paper's range, so that decisions depend on those before.
    return ControllerConfig(policy=policy, initial_range=0.8, hidden=6, **options)  # type: ignore[arg-type]


def policy_of(options: ControllerConfig) -> Any:
    """A policy that is not uniform, in double precision."""
    policy: Any = make_policy(options, SPACE, seed=3)
    if isinstance(policy, SoftmaxTable):
        policy.logits[:] = np.random.default_rng(3).normal(size=policy.logits.shape)
    else:
        policy.network.double()
    return policy


def legal_of(tokens: np.ndarray) -> np.ndarray:
    """Bool [B, T, 3], from the rule in words: kind c has no size 2; all else is allowed."""
    count, length = tokens.shape
    widths = np.array([3, 2, 3, 2, 2, 3, 2, 2, 2][:length])
    legal = np.broadcast_to(np.arange(3) < widths[:, None], (count, length, 3)).copy()
    for kind in (0, 2, 5):
        if kind < length:
            legal[tokens[:, kind] == 2, kind + 1, 1] = False
    return legal


def slow_log_probabilities(policy: Any, tokens: np.ndarray) -> np.ndarray:
    """Stage by stage, token by token, float64 [B]."""
    count, length = tokens.shape
    legal = legal_of(tokens)
    memory, last = policy.start(count), tokens[:, :0]
    found = np.zeros(count)
    for number, (at, stage) in enumerate(stages_of(SPACE, length)):
        logits = np.broadcast_to(policy.step(memory, number, last), (count, stage.num_tokens, 3))
        for i in range(stage.num_tokens):
            weight = np.exp(logits[:, i]) * legal[:, at + i]
            chosen = weight[np.arange(count), tokens[:, at + i]]
            found += np.log(chosen / weight.sum(axis=1))
        last = tokens[:, at : at + stage.num_tokens]
    return found


def batch_of(tokens: np.ndarray, old: np.ndarray | None = None) -> Batch:
    zeros = np.zeros(len(tokens))
    return Batch(tokens, legal_of(tokens), zeros if old is None else old, zeros)


def parameters_of(policy: Any) -> list[np.ndarray]:
    """The numbers themselves: changing them changes the policy."""
    if isinstance(policy, SoftmaxTable):
        return [policy.logits]
    return [parameter.detach().numpy() for parameter in policy.network.parameters()]


def gradients_of(policy: Any, batch: Batch, advantage: np.ndarray) -> list[np.ndarray]:
    if isinstance(policy, SoftmaxTable):
        gradient = np.zeros_like(policy.logits)
        found, _ = policy.gradient(batch, advantage)
        gradient[: len(found)] = found
        return [gradient]
    policy.network.zero_grad()
    policy.loss(batch, advantage)[0].backward()
    return [
        np.zeros(p.shape) if p.grad is None else p.grad.numpy() for p in policy.network.parameters()
    ]


def rewards_of(tokens: np.ndarray) -> np.ndarray:
    return np.sin(tokens @ np.arange(1, tokens.shape[1] + 1)) + 0.1 * tokens.sum(axis=1)


@pytest.mark.parametrize("shaping", [{}, SHAPED], ids=["plain", "shaped"])
@pytest.mark.parametrize("length", SPACE.lengths)
@pytest.mark.parametrize("kind", ["table", "lstm"])
def test_the_expected_gradient_is_that_of_the_expected_reward(
    kind: str, length: int, shaping: dict[str, float]
) -> None:
    policy, tokens = policy_of(config(kind, **shaping)), DESIGNS[length]
    probability = np.exp(slow_log_probabilities(policy, tokens))
    assert probability.sum() == pytest.approx(1, abs=1e-9)
    reward = rewards_of(tokens)
    # The loss is a mean over designs, so that this weighs each by its probability; the baseline
    # must not matter.
    weight = len(tokens) * probability * (reward - 0.7)
    gradients = gradients_of(policy, batch_of(tokens), weight)

    random = np.random.default_rng(1)
    for _ in range(3):
        direction = [random.normal(size=gradient.shape) for gradient in gradients]
        values = []
        for step in (1e-5, -2e-5):
            for parameter, change in zip(parameters_of(policy), direction, strict=True):
                parameter += step * change
            values.append(np.exp(slow_log_probabilities(policy, tokens)) @ reward)
        for parameter, change in zip(parameters_of(policy), direction, strict=True):
            parameter += 1e-5 * change
        slope = (values[0] - values[1]) / 2e-5
        along = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
        assert -along == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("kind", ["table", "lstm"])
def test_designs_are_drawn_with_their_probabilities(kind: str) -> None:
    controller = Controller(config(kind, temperature=0.5), SPACE, seed=1)
    policy: Any = controller.policy
    for parameter in parameters_of(policy):
        parameter += np.random.default_rng(1).normal(size=parameter.shape) * 0.7
    asked = controller.ask(6_000)
    assert controller.asked is not None
    slow = slow_log_probabilities(policy, np.array(asked))
    np.testing.assert_allclose(controller.asked.log_probability, slow, atol=1e-4)
    np.testing.assert_array_equal(controller.asked.legal, legal_of(np.array(asked)))
    probability = np.exp(slow_log_probabilities(policy, DESIGNS[9]))
    for feature in (rewards_of, lambda t: t[:, 3] * t[:, 8], lambda t: t[:, 0] == 2):
        values = feature(DESIGNS[9])
        mean = probability @ values
        deviation = np.sqrt(probability @ (values - mean) ** 2)
        assert abs(feature(np.array(asked)).mean() - mean) < 4 * deviation / 6_000**0.5


@pytest.mark.parametrize("length", SPACE.lengths)
@pytest.mark.parametrize("algorithm", ["reinforce", "ppo"])
def test_the_tables_gradient_is_what_autograd_says(algorithm: str, length: int) -> None:
    options = config(
        "table", algorithm=algorithm, entropy=0.3, skip_weight=0.8, skip_rate=0.3, **SHAPED
    )
    policy, random = policy_of(options), np.random.default_rng(5)
    tokens = DESIGNS[length][random.integers(len(DESIGNS[length]), size=40)]
    old = slow_log_probabilities(policy, tokens) + random.normal(size=40) * 0.3
    batch, advantage = batch_of(tokens, old), random.normal(size=40)
    table = torch.tensor(policy.logits, requires_grad=True)
    shaped = 1.5 * torch.tanh(table[:length] / 2)
    loss, nats = loss_of(shaped.expand(40, -1, -1), options, SPACE, batch, advantage)
    loss.backward()
    assert table.grad is not None
    gradient, entropies = policy.gradient(batch, advantage)
    np.testing.assert_allclose(gradient, table.grad.numpy()[:length], atol=1e-12)
    np.testing.assert_allclose(entropies, nats.numpy(), atol=1e-12)


def test_the_tables_adam_is_torchs() -> None:
    options = config("table", learning_rate=0.05, beta2=0.95)
    policy, random = policy_of(options), np.random.default_rng(5)
    table = torch.tensor(policy.logits, requires_grad=True)
    optimiser = torch.optim.Adam([table], 0.05, (0.9, 0.95))
    for _ in range(20):
        tokens = DESIGNS[9][random.integers(1_000, size=4)]
        batch, advantage = batch_of(tokens), random.normal(size=4)
        optimiser.zero_grad()
        loss_of(table.expand(4, -1, -1), options, SPACE, batch, advantage)[0].backward()
        optimiser.step()
        policy.learn(batch, advantage)
    np.testing.assert_allclose(policy.logits, table.detach().numpy(), atol=1e-9)


def slow_terms(policy: Any, tokens: np.ndarray, rate: float) -> tuple[float, float]:
    """Entropy summed over tokens, and ENAS's divergence; means over designs, by plain loops."""
    entropy = divergence = 0.0
    memory, last, legal = policy.start(len(tokens)), tokens[:, :0], legal_of(tokens)
    for number, (at, stage) in enumerate(stages_of(SPACE, tokens.shape[1])):
        logits = policy.step(memory, number, last)
        for b in range(len(tokens)):
            for i in range(stage.num_tokens):
                weight = np.exp(logits[b, i]) * legal[b, at + i]
                shares = [w / weight.sum() for w in weight if w > 0]
                entropy -= sum(share * np.log(share) for share in shares)
                if isinstance(stage, Anchor):
                    no, yes = shares
                    divergence += no * np.log(no / (1 - rate)) + yes * np.log(yes / rate)
        last = tokens[:, at : at + stage.num_tokens]
    return entropy / len(tokens), divergence / len(tokens) / 2  # two anchor points


def test_entropy_and_skips_have_their_weights_in_the_loss() -> None:
    tokens = DESIGNS[9][::50]
    advantage = np.zeros(len(tokens))
    plain = policy_of(config("lstm"))
    entropy, divergence = slow_terms(plain, tokens, rate=0.25)
    for options, expected in (
        ({}, 0.0),
        ({"entropy": 0.5}, -0.5 * entropy),
        ({"skip_weight": 0.8, "skip_rate": 0.25}, 0.8 * divergence),
    ):
        loss, nats = policy_of(config("lstm", **options)).loss(batch_of(tokens), advantage)
        assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)
        assert float(nats.sum()) == pytest.approx(entropy)


def test_ppo_is_the_clipped_surrogate() -> None:
    options = config("lstm", algorithm="ppo", ppo_clip=0.1)
    policy, random = policy_of(options), np.random.default_rng(2)
    tokens = DESIGNS[9][random.integers(1_000, size=30)]
    new = slow_log_probabilities(policy, tokens)
    old, advantage = new + random.normal(size=30) * 0.2, random.normal(size=30)
    slow = 0.0
    for ratio, gain in zip(np.exp(new - old), advantage, strict=True):
        slow -= min(ratio * gain, min(max(ratio, 0.9), 1.1) * gain) / 30
    loss, _ = policy.loss(batch_of(tokens, old), advantage)
    assert float(loss.detach()) == pytest.approx(slow)


def test_attention_looks_at_the_anchor_points_of_the_layers_before() -> None:
    policy: Any = policy_of(config("lstm"))
    assert isinstance(policy, LSTMPolicy)
    network = policy.network
    tokens = torch.tensor([[0, 1, 1, 0, 1, 2, 0, 0, 1]])
    hidden: list[torch.Tensor] = []
    network.lstm.register_forward_hook(lambda module, given, output: hidden.append(output[0][0]))
    with torch.no_grad():
        logits = network.logits(tokens)[0]
    (h,) = hidden  # [stages, hidden]
    # Stages: kind size | kind size anchor | kind size anchor. The first layer ends at stage 1.
    for token, current, before in ((4, 4, 1), (7, 7, 1), (8, 7, 4)):
        with torch.no_grad():
            score = network.attention @ torch.tanh(
                network.previous.weight @ h[before] + network.current.weight @ h[current]
            )
        odds = torch.softmax(logits[token, :2], dim=0)
        assert float(odds[1]) == pytest.approx(float(torch.sigmoid(score)), abs=1e-9)


def played(controller: Controller, batches: int, count: int) -> list[Tokens]:
    asked: list[Tokens] = []
    for _ in range(batches):
        designs = controller.ask(count)
        for tokens in designs:
            check(SPACE, tokens)
        controller.tell(designs, rewards_of(np.array(designs)))
        asked += designs
    return asked


@pytest.mark.parametrize("algorithm", ["reinforce", "ppo"])
@pytest.mark.parametrize("kind", ["table", "lstm"])
def test_a_controller_continues_exactly(kind: str, algorithm: str) -> None:
    options = config(
        kind, algorithm=algorithm, ppo_batches=3, ranks=3, learning_rate=0.05, deepen_every=20
    )
    straight = Controller(options, SPACE, seed=1)
    assert {len(tokens) for tokens in played(straight, 8, 2)} == {5}
    arrays: dict[str, state_tree.Leaf] = {}
    tree = state_tree.encode(straight.state_dict(), arrays)
    read = {name: torch.as_tensor(leaf).clone() for name, leaf in arrays.items()}
    rest = played(straight, 10, 2)
    again = Controller(options, SPACE, seed=9)
    again.load_state_dict(state_tree.decode(tree, read))
    assert played(again, 10, 2) == rest
    # Designs 16 to 19 are still shallow: depth grows after twenty.
    assert [len(tokens) for tokens in rest] == [5] * 4 + [9] * 16
    assert again.metrics() == straight.metrics()


@pytest.mark.parametrize("options", [
    {"policy": "table", "learning_rate": 0.1},
    {"policy": "table", "learning_rate": 0.1, "ranks": 3, "algorithm": "ppo", "ppo_batches": 3},
    {"policy": "lstm", "learning_rate": 0.01, "ranks": 3},
])  # fmt: skip
def test_a_controller_finds_what_pays(options: dict[str, Any]) -> None:
    controller = Controller(ControllerConfig(**options), SPACE, seed=1)
    best = np.sort([tokens.sum() for tokens in DESIGNS[9]])
    for _ in range(120):
        designs = controller.ask(4)
        controller.tell(designs, np.array([float(sum(tokens)) for tokens in designs]))
    late = np.mean([sum(tokens) for tokens in controller.ask(200)])
    assert late > np.quantile(best, 0.98)
    assert late > best.mean() + 3


def test_ranks_are_shares_of_what_was_told() -> None:
    controller = Controller(config("table", ranks=2, baseline_decay=0.0), SPACE, seed=1)
    told: list[float] = []
    for rewards in ([3.0, 1.0], [2.0, -9.0], [1.0, 5.0]):
        controller.tell(controller.ask(2), np.array(rewards))
        told += rewards
        # Without memory the baseline is the utility told last.
        share = sum(value < rewards[-1] for value in told) / (len(told) - 1)
        assert controller.baseline == pytest.approx(share**2)


def test_what_was_not_asked_for_is_not_learned() -> None:
    controller = Controller(config("table"), SPACE, seed=1)
    designs = controller.ask(2)
    with pytest.raises(ValueError, match="asked for last"):
        controller.tell(designs[:1], np.zeros(1))
    with pytest.raises(ValueError, match="finite"):
        controller.tell(designs, np.array([0.0, np.nan]))


def test_an_lstm_that_is_not_tied_contains_a_table() -> None:
    table = policy_of(config("table"))
    policies = {tied: policy_of(config("lstm", tied=tied)) for tied in (False, True)}
    for tied, policy in policies.items():
        network = policy.network
        network.softmax.weight.data.zero_()
        memory, last = policy.start(1), np.zeros((1, 0), dtype=np.int64)
        seen: dict[str, np.ndarray] = {}
        for number, (at, stage) in enumerate(stages_of(SPACE, 9)):
            options = len(stage.options)
            if not isinstance(stage, Anchor):
                columns = network.columns[number, :options]
                if not tied:
                    logits = torch.from_numpy(table.logits[at, :options])
                    network.softmax.bias.data[columns] = logits
                step = policy.step(memory, number, last)[0, 0, :options]
                expected = table.logits[at, :options] if not tied else seen.get(stage.name, step)
                np.testing.assert_allclose(step, expected)
                seen[stage.name] = step
            else:
                policy.step(memory, number, last)
            last = np.zeros((1, stage.num_tokens), dtype=np.int64)


def test_the_papers_lstm_has_35_units_twice_within_its_range() -> None:
    policy: Any = make_policy(ControllerConfig(), make_space("nb201"), seed=1)
    lstm = policy.network.lstm
    assert (lstm.num_layers, lstm.hidden_size, lstm.input_size) == (2, 35, 35)
    weights = torch.cat([p.detach().flatten() for p in policy.network.parameters()])
    assert float(weights.abs().max()) <= 0.08
    assert float(weights.std()) == pytest.approx(0.08 / 3**0.5, rel=0.03)
