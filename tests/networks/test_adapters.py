"""Any image network as a torso or a trunk: what it sees, what it keeps, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents.dqn.build import build, build_policy
from agents.dqn.config import DQNConfig
from core.config import RunConfig
from core.errors import UserError
from core.lanes import ObservationSpec
from core.learner import Arithmetic
from envs.make import make_lanes
from networks.adapters import ImageTorso, cut_unused, fitted_network, group_for_batch_normalisation
from networks.base import ImageNetwork
from networks.registry import build_network, build_torso

SMALL = ObservationSpec((20, 18), "uint8", 2)
COLOURS = ObservationSpec((12, 11, 3), "uint8", 4)
NAMES = ("resnet18", "resnet20", "highway", "odenet_resnet", "odenet")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spec", [SMALL, COLOURS])
def test_image_networks_see_frames(name: str, spec: ObservationSpec) -> None:
    torso = build_torso(name, spec)
    frames = torch.randint(0, 256, (3, *spec.stacked_shape), dtype=torch.uint8)
    features = torso(frames)
    assert features.shape == (3, torso.num_features)
    features.sum().backward()
    # Nothing is carried along that the features do not need, such as a classifier.
    assert all(parameter.grad is not None for parameter in torso.parameters())


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "odenet_resnet"])
def test_features_depend_on_the_frame_alone(name: str) -> None:
    """Not on training or playing, nor on what else is in the batch."""
    torso = build_torso(name, SMALL)
    frames = torch.randint(0, 256, (5, 2, 20, 18), dtype=torch.uint8)
    together = torso.train()(frames)
    assert not any(module.training for module in torso.network.modules())
    torch.testing.assert_close(torso.eval()(frames), together)
    alone = torch.cat([torso(frame[None]) for frame in frames])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)


class Probe(ImageNetwork):
    """Remembers what it was shown."""

    smallest_input = 1
    num_features = 1

    def forward_features(self, images: Tensor) -> Tensor:
        self.seen = images
        return images.flatten(1).mean(dim=1, keepdim=True)


def test_frames_come_scaled_with_colours_as_channels() -> None:
    torso = build_torso("resnet20", COLOURS)
    assert isinstance(torso, ImageTorso)
    torso.network = probe = Probe()
    frames = torch.randint(0, 256, (2, 4, 12, 11, 3), dtype=torch.uint8)
    torso(frames)
    assert probe.seen.shape == (2, 12, 12, 11)
    torch.testing.assert_close(probe.seen[:, 7], frames[:, 2, :, :, 1] / 255)


def test_group_normalisation_takes_the_place_of_batch_normalisation() -> None:
    network = build_network("resnet18")
    names = {name for name, _ in network.named_parameters()}
    group_for_batch_normalisation(network)
    assert {name for name, _ in network.named_parameters()} == names
    assert (network.bn1.num_groups, network.layer4[0].bn1.num_groups) == (4, 32)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_only_what_the_features_need_is_kept() -> None:
    network = nn.ModuleDict(
        {
            "body": nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 6)),
            "side": nn.Sequential(nn.ReLU(), nn.Linear(4, 2)),
        }
    )
    features = network["body"][:2](torch.zeros(1, 3))
    cut_unused(network, features)
    kept = {name for name, _ in network.named_parameters()}
    assert kept == {"body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"}
    fitted = fitted_network("resnet20", 3, 8, 8)
    assert fitted.training and not any(name.startswith("fc") for name in fitted.state_dict())


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("odenet", ObservationSpec((9, 12), "uint8"), "odenet needs images of 10x10.*are 9x12"),
        ("resnet20", ObservationSpec((4,), "float32"), "needs images.*use --network mlp"),
        ("transformer_base", SMALL, "of kind translation.*or --network transformer"),
        ("gpt2", SMALL, "of kind language"),
        ("resnet21", SMALL, "no network 'resnet21'; did you mean 'resnet"),
        ("impla", SMALL, "did you mean 'impala'.*tengen networks"),
    ],
)
def test_what_cannot_fit_is_refused(name: str, spec: ObservationSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_torso(name, spec)


def test_sizes_that_a_network_cannot_take_are_found_when_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Picky(Probe):
        def forward_features(self, images: Tensor) -> Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nmore")

    monkeypatch.setattr("networks.adapters.build_network", lambda name, **_: Picky())
    with pytest.raises(
        UserError, match=r"resnet20 cannot take 20x18 images: mat1 and.*multiplied$"
    ):
        build_torso("resnet20", SMALL)


@pytest.mark.parametrize("network", ["resnet20", "transformer", "highway", "impala"])
def test_dqn_learns_and_plays_with_them(network: str, tmp_path: Path) -> None:
    run = RunConfig(total_steps=100, device="cpu", threads=1, precision="fp32", progress=False)
    config = DQNConfig(
        env="tengen/Catch", network=network, lanes=4, batch_size=4, warmup_steps=8, update_every=4,
        replay_capacity=200, run=run,
    )  # fmt: skip
    agent = build(config, tmp_path, lambda text: None, Arithmetic()).agent.agent
    step = agent.lanes.reset(0)
    for tick in range(8):
        actions = agent.act(step, 4 * tick)
        agent.lanes.send(actions)
        agent.learn(4 * tick)
        outcome = agent.lanes.receive()
        agent.observe(step, actions, outcome)
        step = outcome
    assert np.isfinite(agent.metrics().scalars["loss/td"])
    lanes = make_lanes(config.env, 1, config.atari)
    policy = build_policy(config, lanes, agent.state_dict()["network"], 0, "cpu")
    assert policy.act(lanes.reset(0)).shape == (1,)
