"""ODE-Nets: exact solutions, two ways to the gradient, and the layers of torchdiffeq's example."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from core.errors import UserError
from networks.registry import build_network
from networks.vision.neural_ode import (
    SOLVERS,
    NeuralODE,
    NeuralODEConfig,
    ODEBlock,
    rename_torchdiffeq,
)
from networks.weights import load_official


def small(**changes: Any) -> NeuralODE:
    torch.manual_seed(0)
    return NeuralODE(NeuralODEConfig(width=8, num_classes=3, **changes))


class Decay(nn.Module):
    """dx/dt = -x (1 + 2t), of which x(1) = x(0) e^-2."""

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return -x * (1 + 2 * t)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_find_the_solution(solver: str) -> None:
    block = ODEBlock(NeuralODEConfig(solver=solver, tolerance=1e-6, step_size=0.001))
    block.dynamics = Decay()  # type: ignore[assignment]
    start = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    # Euler's error is of the order of its step.
    accuracy = 1e-3 if solver == "euler" else 1e-5
    with torch.no_grad():
        torch.testing.assert_close(block(start), start * math.exp(-2), atol=accuracy, rtol=0)


@pytest.mark.parametrize("solver", ["dopri5", "rk4"])
def test_adjoint_gradients_equal_those_through_the_solver(solver: str) -> None:
    """In float64, to 1e-6: of the images and of every parameter, for dynamics that are smooth."""
    images = torch.rand(2, 1, 20, 20, dtype=torch.float64)
    outputs, gradients = [], []
    options: dict[str, Any] = {"activation": "swish", "tolerance": 1e-9, "step_size": 1 / 64}
    for adjoint in (True, False):
        network = small(solver=solver, adjoint=adjoint, **options).double()
        pixels = images.clone().requires_grad_()
        logits = network(pixels)
        weights = [pixels, *network.parameters()]
        gradients.append(torch.autograd.grad(logits.square().sum(), weights))
        outputs.append(logits)
    assert torch.equal(*outputs)
    assert max(float(gradient.abs().max()) for gradient in gradients[0]) > 0.1
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_evaluations_are_counted_and_grow_with_accuracy() -> None:
    images = torch.rand(2, 1, 12, 12)
    coarse, fine = small(tolerance=1e-1), small(tolerance=1e-5)
    with torch.no_grad():
        coarse(images)
        fine(images)
    assert 0 < coarse.function_evaluations < fine.function_evaluations

    euler = small(solver="euler", step_size=0.25)
    loss = euler(images).sum()
    assert euler.function_evaluations == 4
    loss.backward()
    assert euler.function_evaluations == 8  # the adjoint's four steps
    euler.reset_evaluations()
    assert euler.function_evaluations == 0
    assert build_network("odenet_resnet", width=8).function_evaluations == 0


class NumberedExample(nn.Sequential):
    """The layers of torchdiffeq's example in its numbering, written with torch alone."""

    def __init__(self, width: int, classes: int, residual_blocks: int) -> None:
        def norm() -> nn.Module:
            return nn.GroupNorm(min(32, width), width)

        down = [nn.Conv2d(1, width, 3)]
        for _ in range(2):
            down += [norm(), nn.ReLU(), nn.Conv2d(width, width, 4, 2, 1)]
        timed = 0 if residual_blocks else 1
        part = nn.Module()
        part.norm1, part.norm2, part.norm3 = norm(), norm(), norm()
        for name in ("conv1", "conv2"):
            convolution = nn.Conv2d(width + timed, width, 3, 1, 1, bias=bool(timed))
            if timed:
                holder = nn.Module()
                holder._layer = convolution
            setattr(part, name, holder if timed else convolution)
        middle: list[nn.Module] = []
        for _ in range(residual_blocks):
            block = nn.Module()
            block.norm1, block.norm2 = norm(), norm()
            block.conv1 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            block.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            middle.append(block)
        if not residual_blocks:
            holder = nn.Module()
            holder.odefunc = part
            middle = [holder]
        head = [norm(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
        super().__init__(*down, *middle, *head)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for layer in self:
            if hasattr(layer, "odefunc"):
                x = odeint(lambda t, y, f=layer.odefunc: self.rate(f, t, y), x,
                           torch.tensor([0.0, 1.0]), rtol=1e-3, atol=1e-3)[1]  # fmt: skip
            elif hasattr(layer, "conv1"):
                y = layer.conv1(torch.relu(layer.norm1(x)))
                x = x + layer.conv2(torch.relu(layer.norm2(y)))
            else:
                x = layer(x)
        return x

    @staticmethod
    def rate(f: Any, t: Tensor, y: Tensor) -> Tensor:
        for norm, conv in ((f.norm1, f.conv1), (f.norm2, f.conv2)):
            y = torch.relu(norm(y))
            y = conv._layer(torch.cat([t.expand_as(y[:, :1]), y], 1))
        result: Tensor = f.norm3(y)
        return result


@pytest.mark.parametrize("residual_blocks", [0, 6])
def test_torchdiffeqs_example_loads_and_says_the_same(residual_blocks: int) -> None:
    torch.manual_seed(1)
    theirs = NumberedExample(8, 3, residual_blocks)
    ours = small(residual_blocks=residual_blocks, adjoint=False)
    load_official(ours, theirs.state_dict(), rename_torchdiffeq)
    images = torch.rand(2, 1, 28, 28)
    logits = [network(images) for network in (ours, theirs)]
    torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)
    for value in logits:
        value.square().sum().backward()
    # The first convolution's gradient went through everything.
    one, other = ours.downsampling[0].weight.grad, theirs[0].weight.grad
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_half_precision_keeps_the_flow_in_full() -> None:
    network, images = small(), torch.rand(2, 1, 12, 12)
    with torch.no_grad():
        wanted = network(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(network(images).float(), wanted, atol=0.05, rtol=0)
        half = network.to(torch.bfloat16)(images.bfloat16())
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(half.float(), wanted, atol=0.05, rtol=0)
    with torch.inference_mode():
        assert network(images.bfloat16()).isfinite().all()


def test_what_cannot_be_solved_is_said() -> None:
    with pytest.raises(UserError, match="no solver 'dopri4'; did you mean 'dopri"):
        small(solver="dopri4")
    with pytest.raises(UserError, match="dopri5 found no step for tolerance 1e-30"):
        small(tolerance=1e-30)(torch.rand(1, 1, 12, 12))
