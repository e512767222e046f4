"""PQN's returns against a loop written from the paper, its network, and its rollouts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.pqn import build
from agents.pqn.agent import PQN
from agents.pqn.config import PQNConfig
from agents.pqn.losses import lambda_returns, q_loss
from agents.pqn.network import ChannelNorm, QNetwork
from core.config import check
from core.errors import UserError
from core.lanes import ObservationSpec
from core.learner import Arithmetic
from envs.atari.lanes import AtariLanes
from envs.atari.protocol import AtariConfig, ProtocolName
from envs.make import make_lanes

NUMBER = st.floats(-5, 5)
KINDS = ("goes on", "terminated", "truncated", "busy")


def slow_lambda_return(
    t: int, reward: list[float], kind: list[str], value: list[float], discount: float, decay: float
) -> float:
    """The lambda return as the mixture of n-step returns that it is (Sutton and Barto 2018,
    equation 12.3), each bootstrapped with max_a Q."""
    n_step_returns, total, factor = [], 0.0, 1.0
    for k in range(t, len(reward)):
        if kind[k] == "busy":
            continue
        total += factor * reward[k]
        factor *= discount
        after = 0.0 if kind[k] == "terminated" else value[k + 1]
        n_step_returns.append(total + factor * after)
        if kind[k] in ("terminated", "truncated"):
            break
    longest = len(n_step_returns)
    mixed = decay ** (longest - 1) * n_step_returns[-1]
    for n in range(1, longest):
        mixed += (1 - decay) * decay ** (n - 1) * n_step_returns[n - 1]
    return mixed


ticks = st.lists(st.tuples(NUMBER, st.sampled_from(KINDS), NUMBER), min_size=1, max_size=9)


@given(ticks, NUMBER, st.floats(0, 1), st.floats(0, 1))
def test_lambda_returns_are_mixtures_of_n_step_returns(
    lane: list[tuple[float, str, float]], last: float, discount: float, decay: float
) -> None:
    reward, kind = [tick[0] for tick in lane], [tick[1] for tick in lane]
    # What ended is followed by a tick that shows the next episode and is no transition.
    for t in range(1, len(kind)):
        if kind[t - 1] in ("terminated", "truncated"):
            kind[t] = "reset"
    value = [tick[2] for tick in lane]
    for t in range(1, len(kind)):  # while a lane is busy it shows what it showed
        if kind[t - 1] == "busy":
            value[t] = value[t - 1]
    value.append(value[-1] if kind[-1] == "busy" else last)
    valid = np.array([k not in ("busy", "reset") for k in kind])
    got = lambda_returns(
        np.array(reward)[:, None],
        np.array([k == "terminated" for k in kind])[:, None],
        np.array([k == "truncated" for k in kind])[:, None],
        valid[:, None],
        np.array(value)[:, None],
        discount,
        decay,
    )
    for t in np.flatnonzero(valid):
        expected = slow_lambda_return(t, reward, kind, value, discount, decay)
        assert got[t, 0] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_loss_is_half_the_squared_error_of_the_action_taken() -> None:
    q = torch.tensor([[1.0, 5.0], [2.0, -1.0]], requires_grad=True)
    loss = q_loss(q, torch.tensor([0, 1]), torch.tensor([4.0, 0.0]))
    assert loss.item() == pytest.approx((9 / 2 + 1 / 2) / 2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert q.grad is not None and q.grad.tolist() == [[-1.5, 0.0], [0.0, -0.5]]


@pytest.mark.parametrize(
    ("torso", "norms"), [("nature", 4), ("dqn2013", 3), ("mlp", 2), ("small", 3)]
)
def test_every_layer_is_normalised_before_its_relu(torso: str, norms: int) -> None:
    """Whatever the weights are scaled by, values stay as they were."""
    torch.manual_seed(0)
    shape = (8,) if torso == "mlp" else (84, 84)
    spec = ObservationSpec(
        shape, "float32" if torso == "mlp" else "uint8", 1 if torso == "mlp" else 4
    )
    network = QNetwork(torso, spec, 3)
    layers = [m for m in network.torso.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert len(layers) == norms
    frames = torch.randint(0, 256, (2, *spec.stacked_shape))
    observation = frames.to(torch.float32 if torso == "mlp" else torch.uint8)
    before = network(observation)
    assert before.shape == (2, 3)
    with torch.no_grad():
        for parameter in network.torso.parameters():
            if parameter.unique().numel() > 1:  # those of norms begin as all 1 and all 0
                parameter.mul_(50.0)
    torch.testing.assert_close(network(observation), before, rtol=1e-2, atol=1e-2)


def test_maps_are_normalised_over_channels() -> None:
    """As flax does, which normalises the last axis: [B, H, W, C] there."""
    maps = torch.randn(2, 5, 3, 4)
    got = ChannelNorm(5)(maps)
    for place in ((0, 0, 0), (1, 2, 3)):
        b, h, w = place
        column = maps[b, :, h, w].double().numpy()
        expected = (column - column.mean()) / np.sqrt(column.var() + 1e-5)
        np.testing.assert_allclose(got[b, :, h, w].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", ["transformer", "impala"])  # of impala only the last layer
def test_a_network_that_cannot_be_normalised_is_refused(network: str) -> None:
    with pytest.raises(UserError, match="use nature, dqn2013, compact, small or mlp"):
        QNetwork(network, ObservationSpec((84, 84), "uint8", 4), 3)


def test_more_minibatches_than_steps_are_refused() -> None:
    with pytest.raises(UserError, match="--minibatches 9"):
        check(PQNConfig(lanes=2, rollout_ticks=4, minibatches=9))


def made(path: Path, **options: Any) -> PQN:
    config = replace(PQNConfig(env="tengen/Catch", lanes=3, **options), hidden="16")
    built = build.build(config, path, lambda line: None, Arithmetic())
    agent: PQN = built.agent.agent  # type: ignore[attr-defined]
    return agent


def test_an_update_goes_through_every_transition_once_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks that reset a lane are none of them, and the last values are those of the newest
    step."""
    agent = made(tmp_path, rollout_ticks=30, epochs=2, minibatches=4, clip_rewards=True,
                 reward_scale=0.5, trace_decay=1.0, discount=0.5)  # fmt: skip
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    real = PQN.loss

    def loss(agent: PQN, *tensors: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        seen.append(tuple(t.numpy().copy() for t in tensors))  # type: ignore[arg-type]
        return real(agent, *tensors)

    monkeypatch.setattr(PQN, "loss", loss)
    step_now, observations, rewards, valid = agent.lanes.reset(0), [], [], []
    for tick in range(32):
        chosen = agent.act(step_now, tick)
        agent.lanes.send(chosen)
        agent.learn(3 * tick)
        assert bool(seen) == (tick == 31)
        if seen:
            break
        outcome = agent.lanes.receive()
        observations.append(agent.actor.frames.observation.copy())
        agent.observe(step_now, chosen, outcome)
        rewards.append(outcome.reward)
        valid.append(outcome.valid)
        step_now = outcome
    mask = np.array(valid[:30])  # the newest waits for the value of what it led to
    assert not mask.all()
    assert len(seen) == 8
    for epoch in (seen[:4], seen[4:]):
        learned = np.concatenate([part[0] for part in epoch])
        order = np.lexsort(learned.reshape(len(learned), -1).T)
        wanted = np.array(observations[:30])[mask]
        wanted_order = np.lexsort(wanted.reshape(len(wanted), -1).T)
        np.testing.assert_array_equal(learned[order], wanted[wanted_order])
    returns = np.concatenate([part[2] for part in seen[:4]])
    powers = {0.5 * sign * 0.5**k for sign in (-1, 1) for k in range(11)}
    finished = [r for r in returns if any(abs(r - p) < 1e-7 for p in powers)]
    ended = (np.array(rewards[:30]) != 0).sum()
    assert len(finished) >= 11 * (ended - 3)
    assert agent.rollout.filled == 1


@pytest.mark.parametrize(
    ("protocol", "asked", "wanted"),
    [("dopamine", False, False), ("dopamine", True, True), ("nature2015", False, True)],
)
def test_a_lost_life_ends_the_return_where_protocol_or_option_say_so(
    protocol: ProtocolName, asked: bool, wanted: bool, tmp_path: Path
) -> None:
    atari = AtariConfig(protocol=protocol, life_loss_terminal=asked, env_threads=1)
    config = PQNConfig(env="ALE/Breakout-v5", lanes=1, rollout_ticks=2, minibatches=2, atari=atari)
    built = build.build(config, tmp_path, lambda line: None, Arithmetic())
    agent: PQN = built.agent.agent  # type: ignore[attr-defined]
    step = agent.lanes.reset(0)
    actions = agent.act(step, 0)
    agent.lanes.send(actions)
    agent.observe(step, actions, replace(agent.lanes.receive(), life_lost=np.ones(1, np.bool_)))
    agent.lanes.close()
    assert bool(agent.rollout.state_dict()["terminated"][0, 0]) == wanted


@pytest.mark.parametrize(
    ("env", "asked", "wanted"),
    [("ALE/Pong-v5", -1.0, 0.001), ("ALE/Pong-v5", 0.0, 0.0), ("CartPole-v1", -1.0, 0.0)],
)
def test_it_is_scored_with_the_random_actions_of_the_protocol(
    env: str, asked: float, wanted: float
) -> None:
    config = PQNConfig(env=env, lanes=1, evaluation_epsilon=asked)
    lanes = make_lanes(env, 1, AtariConfig(env_threads=1))
    network = build.build_network(config, lanes)
    policy = build.build_policy(config, lanes, network.state_dict(), 0, "cpu")
    lanes.close()
    assert policy.epsilon == wanted  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("asked", "concurrent", "wanted"), [(0, True, 3), (0, False, 0), (2, True, 2)]
)
def test_emulators_leave_a_core_to_what_learns_meanwhile(
    asked: int, concurrent: bool, wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    real = AtariLanes.__init__

    def init(lanes: AtariLanes, *args: Any, threads: int, **kwargs: Any) -> None:
        opened.append(threads)
        real(lanes, *args, threads=1, **kwargs)

    monkeypatch.setattr(AtariLanes, "__init__", init)
    monkeypatch.setattr("envs.make.usable_cores", lambda: 4)
    config = PQNConfig(
        env="ALE/Pong-v5", lanes=1, rollout_ticks=2, minibatches=2, concurrent=concurrent,
        atari=AtariConfig(env_threads=asked),
    )  # fmt: skip
    built = build.build(config, tmp_path, lambda line: None, Arithmetic())
    built.agent.close()
    assert opened == [wanted]  # 0: one per core


def test_a_rollout_of_other_lanes_is_refused(tmp_path: Path) -> None:
    agent, other = made(tmp_path, rollout_ticks=8), made(tmp_path, rollout_ticks=8)
    step = agent.lanes.reset(0)
    agent.lanes.send(agent.act(step, 0))
    agent.observe(step, np.zeros(3, np.int64), agent.lanes.receive())
    state = agent.rollout.state_dict()
    other.rollout.load_state_dict(state)
    assert other.rollout.filled == 1
    with pytest.raises(UserError, match="another length"):
        other.rollout.load_state_dict({**state, "action": np.zeros((1, 5), np.int64)})
    with pytest.raises(UserError, match="another length"):
        other.rollout.load_state_dict({n: np.repeat(a, 10, axis=0) for n, a in state.items()})


def test_steps_to_be_learned_from_are_refused_where_they_do_not_fit(tmp_path: Path) -> None:
    agent, other = made(tmp_path, rollout_ticks=8), made(tmp_path, rollout_ticks=8)
    step = agent.lanes.reset(0)
    for _ in range(3):
        agent.lanes.send(agent.act(step, 0))
        outcome = agent.lanes.receive()
        agent.observe(step, np.zeros(3, np.int64), outcome)
        step = outcome
    due = agent.rollout.take(0.9, 0.5)._asdict()
    assert len(due["action"]) == 6
    state = agent.state_dict()
    other.load_state_dict({**state, "due": due})
    np.testing.assert_array_equal(other.state_dict()["due"]["returns"], due["returns"])
    wrong: list[dict[str, Any]] = [
        {name: due[name] for name in ("action", "returns")},
        {**due, "reward": due["returns"]},
        {**due, "returns": due["returns"][1:]},
        {**due, "returns": np.float32(1.0)},
        {**due, "action": due["action"].astype(np.float32)},
        {**due, "observation": due["observation"][:, :1]},
        {name: np.repeat(column, 5, axis=0) for name, column in due.items()},
    ]
    for forged in wrong:
        with pytest.raises(UserError, match="another length"):
            other.load_state_dict({**state, "due": forged})
