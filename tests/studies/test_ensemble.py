"""Networks trained side by side learn as each would alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from studies.ensemble import ConvolutionalEnsemble, DenseEnsemble, Stack, errors, joint_loss

WIDTHS = (3, 7, 5)
SEEDS = (1, 2, 3)


def dense_alone(ensemble: Stack, number: int, width: int) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 4))
    with torch.no_grad():
        for layer, own in zip((network[0], network[2]), (0, 1), strict=True):
            rows, columns = layer.weight.shape
            layer.weight.copy_(ensemble.weights[own][number, :rows, :columns])
            layer.bias.copy_(ensemble.biases[own][number, :rows])
    return network


def convolutional_alone(ensemble: Stack, number: int, width: int) -> nn.Sequential:
    network = nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4),
    )  # fmt: skip
    with torch.no_grad():
        for layer, own in zip((network[0], network[5]), (0, 1), strict=True):
            rows, columns = layer.weight.shape[:2]
            layer.weight.copy_(ensemble.weights[own][number, :rows, :columns])
            layer.bias.copy_(ensemble.biases[own][number, :rows])
    return network


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_members_equal_networks_of_their_own(kind: str, optimiser: str) -> None:
    ensemble: Stack
    if kind == "dense":
        ensemble = DenseEnsemble([(6, width, 4) for width in WIDTHS], SEEDS)
        alone, shape = dense_alone, (6,)
    else:
        ensemble = ConvolutionalEnsemble([(2, width) for width in WIDTHS], 4, SEEDS)
        alone, shape = convolutional_alone, (2, 4, 6)
    networks = [alone(ensemble, number, width) for number, width in enumerate(WIDTHS)]

    def optimiser_of(network: nn.Module) -> torch.optim.Optimizer:
        if optimiser == "sgd":
            return torch.optim.SGD(network.parameters(), 0.1, 0.9)
        return torch.optim.Adam(network.parameters(), 0.01)

    steps = [optimiser_of(network) for network in (ensemble, *networks)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        inputs = torch.randn(3, 8, *shape, generator=generator)
        labels = torch.randint(4, (3, 8), generator=generator)
        losses = [joint_loss(ensemble(inputs), labels)]
        losses += [functional.cross_entropy(network(inputs[number]), labels[number])
                   for number, network in enumerate(networks)]  # fmt: skip
        torch.testing.assert_close(losses[0], sum(losses[1:]))
        for step, loss in zip(steps, losses, strict=True):
            step.zero_grad()
            loss.backward()
            step.step()
    logits = ensemble(inputs)
    for number, network in enumerate(networks):
        torch.testing.assert_close(logits[number], network(inputs[number]), atol=1e-5, rtol=1e-5)
    narrow = ensemble.weights[0][0]
    assert not narrow[WIDTHS[0] :].any(), "units beyond a member's width have learned"


def test_first_weights_depend_on_a_members_seed_alone() -> None:
    pair = DenseEnsemble([(6, 3, 4), (6, 7, 4)], [5, 6])
    single = DenseEnsemble([(6, 7, 4)], [6])
    assert torch.equal(pair.weights[0][1], single.weights[0][0])
    bound = 6**-0.5
    assert float(single.weights[0].abs().max()) <= bound
    assert float(single.weights[0].abs().max()) > 0.9 * bound


def test_errors_are_counted_for_each_member() -> None:
    class Constant(DenseEnsemble):
        def forward(self, inputs: Tensor) -> Tensor:
            """Member 0 says class 0, member 1 class 1."""
            return torch.eye(2)[:, None].expand(2, inputs.shape[1], 2)

    network = Constant([(1, 2)] * 2, [1, 2])
    labels = torch.tensor([0, 0, 0, 1])
    assert errors(network, torch.zeros(4, 1), labels, batch=3).tolist() == [0.25, 0.75]
    own = torch.stack([labels, 1 - labels])
    assert errors(network, torch.zeros(4, 1), own, batch=3).tolist() == [0.25, 0.25]
