"""Neural ODE: Chen, Rubanova, Bettencourt & Duvenaud 2018, arXiv 1806.07366.

A residual network's steps, made infinitely small: features flow along dx/dt = f(t, x) from t = 0 to
1, and a solver takes as many steps as its tolerance asks for. Gradients come from a second equation
solved backwards (the adjoint), which keeps no intermediate results.

The network of the paper's section 3 in the layers of torchdiffeq's published example (its layers
are numbered; `rename_torchdiffeq` translates): two strided convolutions, then the ODE, or six
residual blocks in its place. Solvers and the adjoint are torchdiffeq's.

Legend: B batch, C channels, H W plane, D features, K classes, t time. Sizes are for 28x28.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import UserError, did_you_mean
from networks.base import ImageNetwork
from networks.blocks.activations import activation
from networks.space import choice

# Its tables of numbers are made at its import, which may happen where networks are being built.
with torch.device("cpu"):
    from torchdiffeq import odeint, odeint_adjoint

FIXED_SOLVERS = ("euler", "midpoint", "rk4")
SOLVERS = ("dopri5", "adaptive_heun", *FIXED_SOLVERS)
"""torchdiffeq has more, but its dopri8, bosh3 and fehlberg2 interpolate from past t = 1 and so lose
accuracy: errors of 3e-5 to 1e-4 at tolerance 1e-6, where that of dopri5 is 5e-8."""


@dataclass(frozen=True)
class NeuralODEConfig:
    """Downsampling, an ODE or residual blocks, and a classifier."""

    num_classes: int = 10
    """K"""
    in_channels: int = 1
    """C of the images."""
    width: int = choice(64, (16, 32, 64, 128))
    """D, channels everywhere."""
    residual_blocks: int = choice(0, (0, 2, 4, 6))
    """Residual blocks in place of the ODE; 0 for the ODE."""
    activation: str = choice("relu", ("relu", "elu", "gelu", "swish", "tanh"))
    """Everywhere. A smooth one suits solvers: they lose their order of accuracy at relu's kink."""
    solver: str = choice("dopri5", SOLVERS)
    """dopri5 and adaptive_heun choose their steps by the tolerance; euler, midpoint and rk4 take
    steps of `step_size`."""
    tolerance: float = choice(1e-3, (1e-1, 1e-2, 1e-3, 1e-4))
    """Error of a step that is accepted, relative and absolute."""
    step_size: float = choice(0.25, (0.05, 0.1, 0.25, 0.5, 1.0))
    """Of solvers without error control."""
    adjoint: bool = choice(True, (True, False))
    """Gradients by the adjoint; False: backwards through the solver's steps, which keeps all."""


class TimedConvolution(nn.Module):
    """A 3x3 convolution that sees the time as one more channel, the first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1 + width, width, 3, padding=1)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """[B, D, H, W] at time t, a scalar, to [B, D, H, W]"""
        time = torch.ones_like(x[:, :1]) * t.to(x.dtype)
        y: Tensor = self.conv(torch.cat([time, x], dim=1))
        return y


class Dynamics(nn.Module):
    """f(t, x) of dx/dt = f(t, x)."""

    def __init__(self, width: int, activation_name: str) -> None:
        super().__init__()
        self.norm1 = _norm(width)
        self.conv1 = TimedConvolution(width)
        self.norm2 = _norm(width)
        self.conv2 = TimedConvolution(width)
        self.norm3 = _norm(width)
        self.activation = activation(activation_name)
        self.evaluations = 0
        """Calls since somebody set it to 0, those of the adjoint included."""

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """The rate of change, [B, D, H, W], in the type of x whatever the weights are of."""
        self.evaluations += 1
        y = x.to(self.conv1.conv.weight.dtype)
        y = self.conv1(t, self.activation(self.norm1(y)))
        y = self.conv2(t, self.activation(self.norm2(y)))
        rate: Tensor = self.norm3(y).to(x.dtype)
        return rate


class ODEBlock(nn.Module):
    """x at time 0 to x at time 1."""

    def __init__(self, config: NeuralODEConfig) -> None:
        """Raises UserError for an unknown solver."""
        super().__init__()
        if config.solver not in SOLVERS:
            raise UserError(
                f"there is no solver {config.solver!r}{did_you_mean(config.solver, SOLVERS)} "
                f"(known: {', '.join(SOLVERS)})"
            )
        self.dynamics = Dynamics(config.width, config.activation)
        self.adjoint = config.adjoint
        fixed = config.solver in FIXED_SOLVERS
        self.options: dict[str, Any] = {
            "method": config.solver,
            "rtol": config.tolerance,
            "atol": config.tolerance,
            "options": {"step_size": config.step_size} if fixed else None,
        }

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, H, W] to [B, D, H, W]"""
        # Steps are sums of small numbers, for which half precision is too coarse.
        start = x.to(torch.promote_types(x.dtype, torch.float32))
        times = torch.tensor([0.0, 1.0], dtype=start.dtype, device=x.device)
        solve = odeint_adjoint if self.adjoint and torch.is_grad_enabled() else odeint
        try:
            states = solve(self.dynamics, start, times, **self.options)  # [2, B, D, H, W]
        except AssertionError as error:  # torchdiffeq's word for steps that became too small
            raise UserError(
                f"solver {self.options['method']} found no step for tolerance "
                f"{self.options['rtol']:g} ({error}): use a larger tolerance, or euler or rk4"
            ) from error
        end: Tensor = states[1].to(x.dtype)
        return end


class ResidualBlock(nn.Module):
    """x + F(x), normalised before each convolution (He et al. 2016, arXiv 1603.05027)."""

    def __init__(self, width: int, activation_name: str) -> None:
        super().__init__()
        self.norm1 = _norm(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = _norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.activation = activation(activation_name)

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, H, W] to [B, D, H, W]"""
        y = self.conv1(self.activation(self.norm1(x)))
        y = self.conv2(self.activation(self.norm2(y)))
        summed: Tensor = x + y
        return summed


class NeuralODE(ImageNetwork):
    """Images float [B, C, H, W] of 10x10 or more to class logits [B, K]."""

    # Smaller ones end as planes of one pixel, of which a normalisation of two channels keeps only
    # which is larger: jumps, for which no solver's step is small enough.
    smallest_input = 10

    def __init__(self, config: NeuralODEConfig) -> None:
        """Raises UserError for an unknown activation or solver."""
        super().__init__()
        width = self.num_features = config.width
        self.downsampling = nn.Sequential(
            nn.Conv2d(config.in_channels, width, 3),  # 26x26
            _norm(width),
            activation(config.activation),
            nn.Conv2d(width, width, 4, stride=2, padding=1),  # 13x13
            _norm(width),
            activation(config.activation),
            nn.Conv2d(width, width, 4, stride=2, padding=1),  # 6x6
        )
        self.blocks = nn.Sequential(
            *(ResidualBlock(width, config.activation) for _ in range(config.residual_blocks))
            if config.residual_blocks
            else [ODEBlock(config)]
        )
        self.norm = _norm(width)
        self.activation = activation(config.activation)
        self.fc = nn.Linear(width, config.num_classes)

    @property
    def function_evaluations(self) -> int:
        """Calls of f(t, x) since `reset_evaluations`, those of backward passes included."""
        return sum(block.dynamics.evaluations for block in self._ode_blocks())

    def reset_evaluations(self) -> None:
        """Count from 0 again."""
        for block in self._ode_blocks():
            block.dynamics.evaluations = 0

    def forward_features(self, images: Tensor) -> Tensor:
        """The features at time 1, averaged over the plane: [B, D]."""
        x = self.blocks(self.downsampling(images))  # [B, D, 6, 6]
        features: Tensor = self.activation(self.norm(x)).mean(dim=(2, 3))  # [B, D]
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.fc(self.forward_features(images))
        return logits

    def _ode_blocks(self) -> list[ODEBlock]:
        return [block for block in self.blocks if isinstance(block, ODEBlock)]


def _norm(width: int) -> nn.GroupNorm:
    """Group normalisation: f must give each image its own rate of change, whatever the batch."""
    return nn.GroupNorm(gcd(32, width), width)


PRESETS = {
    "odenet": NeuralODEConfig(),
    "odenet_resnet": NeuralODEConfig(residual_blocks=6),
}


def build(config: NeuralODEConfig) -> NeuralODE:
    """The network of a config, with fresh weights."""
    return NeuralODE(config)


def rename_torchdiffeq(name: str) -> str:
    """A name of torchdiffeq's MNIST example, whose layers are numbered, to ours."""
    layer, _, rest = name.partition(".")
    if not layer.isdecimal():
        return name  # none of the example's
    if int(layer) < 7:
        return f"downsampling.{layer}.{rest}"
    if rest.startswith("odefunc."):
        rest = rest.replace("odefunc.", "dynamics.").replace("_layer.", "conv.")
        return f"blocks.0.{rest}"
    if "." in rest:  # a residual block's
        return f"blocks.{int(layer) - 7}.{rest}"
    return f"norm.{rest}" if layer in ("8", "13") else f"fc.{rest}"
