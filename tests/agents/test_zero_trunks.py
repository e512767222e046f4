"""Zero with other networks than its tower: fit, fold, self-play, save, and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agents.zero.agent import Zero
from agents.zero.build import build, build_network, network_for
from agents.zero.config import ZeroConfig
from agents.zero.evaluator import NetworkEvaluator
from core.config import RunConfig, check, resolve
from core.errors import UserError
from core.learner import Arithmetic, load_weights
from envs.games.options import GoOptions
from envs.games.registry import load_game
from networks.adapters import build_trunk
from networks.control.folding import folded, refold
from networks.control.zero import ZeroNetwork, ZeroShape

NAMES = ("transformer", "resnet20", "highway")


def small_config(network: str, **changes: Any) -> ZeroConfig:
    run = RunConfig(total_steps=1000, device="cpu", threads=1, precision="fp32", progress=False)
    options: dict[str, Any] = {
        "network": network, "size": 6, "komi": 4.0, "lanes": 4, "blocks": 1, "channels": 8,
        "simulations": 4, "first_simulations": 4, "first_rows": 50, "batch_size": 16, "run": run,
    }  # fmt: skip
    return ZeroConfig(**(options | changes))


def trained_a_little(network: ZeroNetwork, planes: torch.Tensor) -> ZeroNetwork:
    """Running statistics that are those of something."""
    network.train()
    for _ in range(3):
        network(planes, torch.randn(len(planes)) * 7)
    return network.eval()


def test_the_tower_is_what_it_was() -> None:
    """Names and order of its parameters, which checkpoints hold."""
    network = build_network(small_config("tower"), load_game("go"))
    names = [name for name, _ in network.named_parameters()]
    assert names[:4] == ["stem.conv.weight", "stem.norm.weight", "stem.norm.bias",
                         "tower.0.first.conv.weight"]  # fmt: skip
    assert {name.split(".")[0] for name in names} == {
        "stem", "tower", "policy_features", "policy_bias", "policy_cells", "policy_others",
        "value_features", "value_hidden", "value_out", "ownership_out",
    }  # fmt: skip
    assert resolve(ZeroConfig).network == "tower"  # also for config files that do not name it


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shape",
    [
        ZeroShape(17, 9, 9, 82, "points"),
        ZeroShape(2, 6, 7, 7, "columns"),
        ZeroShape(2, 8, 8, 40, "own"),
    ],
)
def test_any_network_fits_every_kind_of_action(name: str, shape: ZeroShape) -> None:
    trunk = build_trunk(name, shape.planes + 1, shape.height, shape.width, 8, blocks=1)
    network = ZeroNetwork(shape, 1, 8, trunk=trunk)
    planes = torch.randint(0, 2, (4, shape.planes, shape.height, shape.width)).float()
    outputs = network(planes, torch.zeros(4))
    assert outputs.policy_logits.shape == (4, shape.actions)
    assert outputs.ownership.shape == (4, shape.height, shape.width)
    sum(output.square().sum() for output in outputs).backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())
    assert not any(name.startswith(("stem", "tower")) for name in network.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_folding_changes_nothing_but_speed(name: str) -> None:
    torch.manual_seed(0)
    planes = torch.randint(0, 2, (32, 17, 6, 6)).float()
    network = trained_a_little(build_network(small_config(name), load_game("go")), planes)
    twin = folded(network.train())  # as Zero folds: from a network that trains
    assert not any(module.training for module in twin.trunk.modules())
    network.eval()
    with torch.no_grad():
        wanted, found = (one(planes, torch.ones(32) * 7) for one in (network, twin))
        alone = twin(planes[:1], torch.ones(1) * 7)
    for one, other, first in zip(wanted, found, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(first, other[:1], atol=1e-5, rtol=1e-5)
    kept = [module for module in twin.trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    assert bool(kept) == (name == "resnet20")  # only Zero's own convolutions are folded


@pytest.mark.parametrize("name", ["tower", *NAMES])
def test_new_weights_are_folded_where_the_old_ones_lie(name: str) -> None:
    """A recorded CUDA graph reads there; the numbers are those of folding anew."""
    torch.manual_seed(0)
    planes = torch.randint(0, 2, (32, 17, 6, 6)).float()
    network = build_network(small_config(name, blocks=2), load_game("go"))
    twin = folded(network)
    before = {key: (value.data_ptr(), value.clone()) for key, value in twin.state_dict().items()}
    for parameter in trained_a_little(network, planes).parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    refold(network.train(), twin)
    assert not twin.training
    for key, wanted in folded(network).state_dict().items():
        place, old = before[key]
        found = twin.state_dict()[key]
        assert found.data_ptr() == place and torch.equal(found, wanted), key
        assert not torch.equal(found, old), key


@pytest.mark.parametrize("name", ["transformer", "resnet20"])
def test_self_play_learns_and_is_restored(name: str, tmp_path: Path) -> None:
    config = small_config(name, game="tic-tac-toe", first_rows=16, rows_per_new_row=1.0)
    built = build(config, tmp_path / "one", lambda text: None, Arithmetic())
    agent = built.agent.agent
    assert isinstance(agent, Zero)
    step = agent.lanes.reset(0)
    for tick in range(20):
        actions = agent.act(step, 4 * tick)
        agent.lanes.send(actions)
        agent.learn(4 * tick)
        outcome = agent.lanes.receive()
        agent.observe(step, actions, outcome)
        step = outcome
        assert not any(module.training for module in agent.evaluator.network.trunk.modules())
    assert agent.learner.updates > 2
    assert np.isfinite(agent.metrics().scalars["loss/total"])
    state = agent.state_dict()
    other = build(config, tmp_path / "two", lambda text: None, Arithmetic()).agent.agent
    other.load_state_dict({key: value for key, value in state.items() if key != "replay"})
    planes = np.ones((2, agent.boards[0].lanes.game.planes, 3, 3), np.uint8)
    handicap = np.zeros(2, np.int32)
    wanted, found = (one.evaluator.begin(planes, handicap)() for one in (agent, other))
    np.testing.assert_array_equal(wanted[0], found[0])


@pytest.mark.parametrize("name", [*NAMES, "odenet", "odenet_resnet"])
def test_half_precision_judges_alike(name: str) -> None:
    torch.manual_seed(0)
    config = small_config(name, size=10)
    planes = np.random.default_rng(0).integers(0, 2, (8, 17, 10, 10), dtype=np.uint8)
    network = build_network(config, load_game("go"))
    network = trained_a_little(network, torch.from_numpy(planes).float())
    values = [
        NetworkEvaluator(network, Arithmetic(bf16=bf16)).begin(planes, np.zeros(8, np.int32))()[1]
        for bf16 in (False, True)
    ]
    np.testing.assert_allclose(values[0], values[1], atol=0.05)


def test_the_transformer_plays_on_boards_of_any_size() -> None:
    game, config = load_game("go"), small_config("transformer")
    small = build_network(config, game)
    large = network_for(config, game, GoOptions(9, 7.0, "cgos"))
    load_weights(large, small.state_dict())
    outputs = large(torch.zeros(1, 17, 9, 9), torch.zeros(1))
    assert outputs.policy_logits.shape == (1, 82)
    with pytest.raises(UserError, match="resnet20 depend on the board: they are for 6x6, not 9x9"):
        network_for(small_config("resnet20"), game, GoOptions(9, 7.0, "cgos"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("odenet", "network odenet needs images of 10x10 or more, these are 6x6"),
        ("towr", "no network 'towr'; did you mean 'tower'"),
        ("gpt", "of kind language"),
        ("resnet21", "did you mean 'resnet"),
    ],
)
def test_networks_that_do_not_fit_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config = small_config(name)
        check(config)
        build_network(config, load_game("go"))
