"""Recorded work comes out as work that is not, in the learner and in the agents that use it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents.dqn import build as dqn_build
from agents.dqn.agent import DQN
from agents.pqn import build as pqn_build
from agents.pqn.agent import PQN
from agents.pqn.config import PQNConfig
from core import recorded
from core.config import RunConfig
from core.lane_agent import LaneAgent
from core.lanes import Step
from core.learner import NORM_EVERY, Arithmetic, Learner
from core.optimisers import build_optimiser
from core.recorded import MOST_RECORDINGS, Recorded
from core.replay.on_device import DeviceFrames
from tests.learning.test_dqn import catch_config
from tests.recording import record_everything


def parameters(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("max_gradient_norm", [0.0, 0.5])
def test_recorded_updates_equal_others(
    monkeypatch: pytest.MonkeyPatch, max_gradient_norm: float
) -> None:
    """Of two sizes of batch in turn, which are two recordings, with gradients of their own."""
    learners, drained = [], []
    for records in (False, True):
        if records:
            record_everything(monkeypatch)
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))
        optimiser = build_optimiser("adam", network.parameters(), 1e-2, 1e-8)
        learner = Learner(network, optimiser, Arithmetic(), max_gradient_norm)

        def loss(
            inputs: Tensor, target: Tensor, network: nn.Module = network
        ) -> tuple[Tensor, dict[str, Tensor]]:
            value = network(inputs).squeeze(1)
            return (value - target).square().mean(), {"mean": value.mean(), "a_max": value.max()}

        rng = torch.Generator().manual_seed(1)
        for update in range(NORM_EVERY + 5):
            size = 4 + update % 2
            learner.update(
                loss, torch.rand(size, 3, generator=rng), torch.rand(size, generator=rng)
            )
        learners.append(learner)
        drained.append(learner.drain_metrics())
    torch.testing.assert_close(parameters(learners[0].network), parameters(learners[1].network))
    assert drained[0] == pytest.approx(drained[1])
    assert set(drained[1]) == {"loss", "mean", "a_max", "gradient_norm"}


def test_only_so_many_shapes_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    record_everything(monkeypatch)
    made, real = [], recorded.record

    def record(function: Any, inputs: Any, device: str, kept: Any) -> Any:
        made.append(len(inputs[0]))
        return real(function, inputs, device, kept)

    monkeypatch.setattr(recorded, "record", record)
    double = Recorded(lambda x: 2 * x, Arithmetic())
    sizes = [*range(1, MOST_RECORDINGS + 4), 1, 2]
    for size in sizes:
        torch.testing.assert_close(double(torch.full((size,), 3.0)), torch.full((size,), 6.0))
    assert made == sizes[:MOST_RECORDINGS]


def play(agent: LaneAgent, ticks: int, learn: bool) -> list[np.ndarray]:
    """Let it act, and perhaps learn, on its lanes; return its actions."""
    step: Step = agent.lanes.reset(1)
    actions, steps = [], 0
    for _ in range(ticks):
        chosen = agent.act(step, steps)
        actions.append(chosen)
        agent.lanes.send(chosen)
        if learn:
            agent.learn(steps)
        outcome = agent.lanes.receive()
        agent.observe(step, chosen, outcome)
        steps += int(np.count_nonzero(~outcome.busy))
        step = outcome
    agent.lanes.close()
    return actions


def test_recorded_pqn_equals_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With minibatches of unequal sizes: episodes end, and 3 lanes times 10 ticks are not 4
    equal parts."""
    agents, actions = [], []
    for records in (False, True):
        if records:
            record_everything(monkeypatch)
        config = PQNConfig(
            env="tengen/Catch", lanes=3, rollout_ticks=10, epochs=2, minibatches=4, hidden="16",
            learning_rate=1e-2, epsilon_decay_steps=100,
        )  # fmt: skip
        built: Any = pqn_build.build(config, tmp_path, lambda line: None, Arithmetic())
        agent: PQN = built.agent.agent
        actions.append(play(agent, 65, learn=True))
        agents.append(agent)
    assert agents[0].learner.updates == agents[1].learner.updates == 6 * 2 * 4
    torch.testing.assert_close(parameters(agents[0].network), parameters(agents[1].network))
    np.testing.assert_array_equal(actions[0], actions[1])
    assert agents[0].metrics().scalars == pytest.approx(agents[1].metrics().scalars, rel=1e-4)


def test_a_rollout_in_which_nothing_happened_is_not_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_everything(monkeypatch)
    config = PQNConfig(env="tengen/Catch", lanes=1, rollout_ticks=1, minibatches=1, hidden="8")
    built: Any = pqn_build.build(config, tmp_path, lambda line: None, Arithmetic())
    agent: PQN = built.agent.agent
    play(agent, 40, learn=True)
    assert 0 < agent.learner.updates < 38 * config.epochs


def test_the_probe_times_a_minibatch_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_everything(monkeypatch)
    rows: list[int] = []
    real = PQN.loss

    def loss(agent: PQN, *columns: Tensor) -> Any:
        rows.append(len(columns[0]))
        return real(agent, *columns)

    monkeypatch.setattr(PQN, "loss", loss)
    config = PQNConfig(
        env="tengen/Catch", lanes=4, rollout_ticks=9, minibatches=5, hidden="8",
        run=RunConfig(threads=1),
    )  # fmt: skip
    built: Any = pqn_build.build(config, tmp_path, lambda line: None)
    built.agent.agent.lanes.close()
    assert rows and set(rows) == {8}


def test_rehearsals_leave_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spectral norms estimate at every forward, from where the last left off."""
    networks = []
    for records in (False, True):
        if records:
            record_everything(monkeypatch)
        torch.manual_seed(0)
        network = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))
        optimiser = build_optimiser("adam", network.parameters(), 1e-2, 1e-8)
        learner = Learner(network, optimiser, Arithmetic())

        def loss(inputs: Tensor, network: nn.Module = network) -> tuple[Tensor, dict[str, Tensor]]:
            return network(inputs).square().mean(), {}

        for _ in range(3):
            learner.update(loss, torch.ones(2, 4))
        networks.append(network)
    for name, value in networks[0].state_dict().items():
        torch.testing.assert_close(networks[1].state_dict()[name], value)


@pytest.mark.parametrize("options", [{}, {"double": True, "dueling": True, "target_rate": 0.1}])
def test_recorded_dqn_with_a_mirror_equals_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """On the same draws, which a GPU makes several at a time."""
    agents = []
    for records in (False, True):
        if records:
            record_everything(monkeypatch)
        config = dataclasses.replace(
            catch_config(total_steps=1_000), network="mlp", hidden="8", lanes=2, warmup_steps=64,
            replay_capacity=200, batch_size=8, target_every=64, **options,
        )  # fmt: skip
        built: Any = dqn_build.build(
            config, tmp_path / str(records), lambda line: None, Arithmetic()
        )
        agent: DQN = built.agent.agent
        agent._drawn_at_once = 5 * config.batch_size
        if records:
            agent.replay.mirror(DeviceFrames(agent.replay.spec, "cpu"))
        play(agent, 150, learn=False)
        agent.learn(64 + 12 * config.update_every)
        assert agent.learner.updates == 12
        agents.append(agent)
    torch.testing.assert_close(parameters(agents[0].online), parameters(agents[1].online))
    torch.testing.assert_close(
        parameters(agents[0].target.network), parameters(agents[1].target.network)
    )
    assert agents[0].metrics().scalars == pytest.approx(agents[1].metrics().scalars)


def test_noise_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording would repeat the numbers it was made with."""
    record_everything(monkeypatch)
    config = dataclasses.replace(
        catch_config(total_steps=1_000), noisy=True, lanes=2, warmup_steps=64, replay_capacity=200
    )
    built: Any = dqn_build.build(config, tmp_path, lambda line: None, Arithmetic())
    agent: DQN = built.agent.agent
    play(agent, 40, learn=True)
    assert agent.learner.updates > 0
    assert not agent.learner._recorded and not agent.actor.forward._recordings


@pytest.mark.parametrize("shift_pixels", [0, 1])
def test_dqn_draws_from_a_device_that_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift_pixels: int
) -> None:
    """But where images are shifted, which the processor does. The probe's update is made likewise,
    and a checkpoint brings the frames back."""
    monkeypatch.setattr(dqn_build, "fits_on", lambda device, spec: True)
    record_everything(monkeypatch)
    config = dataclasses.replace(
        catch_config(total_steps=1_000, threads=0), network="small", lanes=2, warmup_steps=64,
        replay_capacity=200, batch_size=8, shift_pixels=shift_pixels,
    )  # fmt: skip
    notes: list[str] = []
    agents: list[DQN] = []
    for arithmetic in (None, Arithmetic()):
        built: Any = dqn_build.build(config, tmp_path, notes.append, arithmetic)
        agents.append(built.agent.agent)
    trained, resumed = agents
    play(trained, 100, learn=True)
    assert trained.learner.updates > 0
    resumed.load_state_dict(trained.state_dict())
    resumed.lanes.close()
    first, second = (
        agent.sampler.sample(np.random.default_rng(0), 8, 0.9, False) for agent in agents
    )
    assert isinstance(first.observation, np.ndarray if shift_pixels else Tensor)
    np.testing.assert_array_equal(np.asarray(first.observation), np.asarray(second.observation))
    assert any("frames on cpu too" in note for note in notes) == (not shift_pixels)
