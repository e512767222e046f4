"""The policy and value network of AlphaGo Zero (Silver et al. 2017), for boards of any size.

Residual blocks of two 3x3 convolutions with batch normalisation. Deviations: the heads pool over
the board instead of flattening it, so that no weight depends on its size; and, after Wu 2019
(KataGo, arXiv 1902.10565), global pooling in every third block, heads for the owner of each cell
and for the margin, and komi as an input.

Legend: B batch, C planes, F channels, H W board, A actions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

MARGIN_SCALE = 20.0
"""Points per unit of the margin head and of the komi input."""
POOLING_EVERY = 3

PolicyLayout = Literal["points", "columns", "own"]


@dataclass(frozen=True)
class ZeroShape:
    """What the network must fit."""

    planes: int
    height: int
    width: int
    actions: int
    layout: PolicyLayout
    """Actions are cells and perhaps a pass; or columns; or of the game's own kind."""


class Outputs(NamedTuple):
    """What the network says, for the player to move."""

    policy_logits: Tensor
    """[B, A]"""
    value: Tensor
    """Expected outcome, [B], -1 to 1"""
    ownership: Tensor
    """Expected owner of each cell, +1 the player to move, [B, H, W]"""
    margin: Tensor
    """Expected margin over `MARGIN_SCALE` points, [B]"""


class ConvNorm(nn.Module):
    """Convolution and batch normalisation; `fold` makes one convolution of both."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]"""
        y: Tensor = self.norm(self.conv(x))
        return y

    def fold(self) -> None:
        """Put the normalisation into the weights; for inference only."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


def pooled(x: Tensor) -> Tensor:
    """Mean and maximum over the board, [B, F, H, W] to [B, 2 F]."""
    return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)


class ResidualBlock(nn.Module):
    """relu(x + conv(relu(conv(x) + pooled bias)))"""

    def __init__(self, channels: int, global_pooling: bool) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3)
        self.bias = nn.Linear(2 * channels, channels) if global_pooling else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, F, H, W]"""
        y = functional.relu(self.first(x))
        if self.bias is not None:
            y = y + self.bias(pooled(y))[:, :, None, None]
        return functional.relu(x + self.second(y))


class ZeroNetwork(nn.Module):
    """Tower and heads."""

    def __init__(
        self,
        shape: ZeroShape,
        blocks: int,
        channels: int,
        *,
        global_pooling: bool = True,
        trunk: nn.Module | None = None,
    ) -> None:
        """Args:
        shape: what to fit.
        blocks: of the tower.
        channels: F.
        global_pooling: in every third block.
        trunk: stands in for stem and tower; planes and komi [B, C + 1, H, W] to maps
            [B, F, H, W].
        """
        super().__init__()
        self.shape = shape
        self.trunk = trunk
        if trunk is None:
            self.stem = ConvNorm(shape.planes + 1, channels, 3)
            self.tower = nn.Sequential(
                *(
                    ResidualBlock(channels, global_pooling and index % POOLING_EVERY == 1)
                    for index in range(blocks)
                )
            )
        head = max(8, channels // 2)
        self.policy_features = ConvNorm(channels, head, 1)
        self.policy_bias = nn.Linear(2 * head, head)
        self.policy_cells = nn.Conv2d(head, 1, 1)
        cells = shape.height * shape.width
        others = shape.actions - cells if shape.layout == "points" else shape.actions
        self.policy_others = (
            nn.Linear(2 * head, others) if others > 0 and shape.layout != "columns" else None
        )
        self.value_features = ConvNorm(channels, head, 1)
        self.value_hidden = nn.Linear(2 * head, 64)
        self.value_out = nn.Linear(64, 2)
        self.ownership_out = nn.Conv2d(head, 1, 1)
        # No opinion at first: a pass that stood out by chance would end the first games at once.
        for layer in (self.value_out, self.policy_cells, self.policy_others, self.ownership_out):
            if layer is not None and layer.bias is not None:
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    def forward(self, planes: Tensor, handicap: Tensor) -> Outputs:
        """Args:
        planes: [B, C, H, W] of the network's dtype, 0 or 1.
        handicap: points given to the player to move, [B].
        """
        batch, _, height, width = planes.shape
        given = (handicap / MARGIN_SCALE).to(planes.dtype)[:, None, None, None]
        x = torch.cat([planes, given.expand(batch, 1, height, width)], dim=1)
        x = self._maps(x)  # [B, F, H, W]
        value, margin, ownership = self._value_head(x)
        return Outputs(self._policy_head(x), value, ownership, margin)

    def _maps(self, x: Tensor) -> Tensor:
        """Planes and komi [B, C + 1, H, W] to [B, F, H, W]."""
        if self.trunk is not None:
            maps: Tensor = self.trunk(x)
            return maps
        maps = self.tower(functional.relu(self.stem(x)))
        return maps

    def _policy_head(self, x: Tensor) -> Tensor:
        features = functional.relu(self.policy_features(x))
        summary = pooled(features)
        biased = functional.relu(features + self.policy_bias(summary)[:, :, None, None])
        cells = self.policy_cells(biased)[:, 0]  # [B, H, W]
        if self.shape.layout == "columns":
            columns: Tensor = cells.mean(dim=1)  # [B, W]
            return columns
        parts = [cells.flatten(1)] if self.shape.layout == "points" else []
        if self.policy_others is not None:
            parts.append(self.policy_others(summary))
        return torch.cat(parts, dim=1)

    def _value_head(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = functional.relu(self.value_features(x))
        hidden = functional.relu(self.value_hidden(pooled(features)))
        value, margin = self.value_out(hidden).unbind(dim=1)
        ownership = torch.tanh(self.ownership_out(features)[:, 0])
        return torch.tanh(value), margin, ownership


def folded(network: ZeroNetwork) -> ZeroNetwork:
    """A copy for inference, the normalisations of tower and heads put into the convolutions."""
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    for module in twin.modules():
        if isinstance(module, ConvNorm):
            module.fold()
    return twin


@torch.no_grad()
def refold(network: nn.Module, twin: nn.Module) -> None:
    """Put a network's present weights into what `folded` made of it, in the memory they have there:
    CUDA graphs read it."""
    if isinstance(network, ConvNorm) and isinstance(network.norm, nn.BatchNorm2d):
        conv, norm = network.conv, network.norm
        weights = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps,
            norm.weight, norm.bias,
        )  # fmt: skip
        for own, weight in zip(twin.get_submodule("conv").parameters(), weights, strict=True):
            own.copy_(weight)
        return
    for own, weight in zip(_own_tensors(twin), _own_tensors(network), strict=True):
        own.copy_(weight)
    for child, other in zip(network.children(), twin.children(), strict=True):
        refold(child, other)


def _own_tensors(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers of a module itself, not of its children."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]
