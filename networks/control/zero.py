"""The policy and value network of AlphaGo Zero (Silver et al. 2017), for boards of any size.

Residual blocks of two 3x3 convolutions with batch normalisation. Deviations: the heads pool over
the board instead of flattening it, so that no weight depends on its size; and, after Wu 2019
(KataGo, arXiv 1902.10565), global pooling in every third block, heads for the owner of each cell
and for the margin, and komi as an input.

Legend: B batch, C planes, F channels, H W board, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

MARGIN_SCALE = 20.0
"""Points per unit of the margin head and of the komi input."""
POOLING_EVERY = 3
BEYOND = -1e4
"""Policy logit of a cell beyond the board: e to it is 0, times 0 still a number."""

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
    """Convolution and batch normalisation; `networks/control/folding.py` makes one of both."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor, on_board: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W], 0 beyond the boards [B, 1, H, W]"""
        y: Tensor = self.conv(x)
        if on_board is None:
            normal: Tensor = self.norm(y)
            return normal
        return masked_normalisation(self.norm, y, on_board) * on_board


def masked_normalisation(norm: nn.Module, y: Tensor, on_board: Tensor) -> Tensor:
    """Batch normalisation of maps [B, F, H, W] with the statistics of the cells on boards."""
    if not (isinstance(norm, nn.BatchNorm2d) and norm.training):
        normal: Tensor = norm(y)
        return normal
    cells = y.movedim(1, 3)  # [B, H, W, F]
    where = on_board[:, 0] > 0
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    found = functional.batch_norm(
        cells[where], norm.running_mean, norm.running_var, norm.weight, norm.bias,
        training=True, momentum=norm.momentum or 0.0, eps=norm.eps,
    )  # fmt: skip
    return (
        torch.zeros_like(cells, dtype=found.dtype)
        .masked_scatter(where[..., None], found)
        .movedim(3, 1)
    )


def pooled(x: Tensor, on_board: Tensor | None = None) -> Tensor:
    """Mean and maximum over the board, [B, F, H, W] to [B, 2 F]; not negative, 0 beyond boards."""
    if on_board is None:
        return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
    mean = x.sum(dim=(2, 3)) / on_board.sum(dim=(2, 3))
    return torch.cat([mean, x.amax(dim=(2, 3))], dim=1)


class ResidualBlock(nn.Module):
    """relu(x + conv(relu(conv(x) + pooled bias)))"""

    def __init__(self, channels: int, global_pooling: bool) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3)
        self.bias = nn.Linear(2 * channels, channels) if global_pooling else None

    def forward(self, x: Tensor, on_board: Tensor | None = None) -> Tensor:
        """[B, F, H, W]"""
        y = functional.relu(self.first(x, on_board))
        if self.bias is not None:
            y = y + self.bias(pooled(y, on_board))[:, :, None, None]
            y = y if on_board is None else y * on_board
        return functional.relu(x + self.second(y, on_board))


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

    def forward(self, planes: Tensor, handicap: Tensor, on_board: Tensor | None = None) -> Outputs:
        """Args:
        planes: [B, C, H, W] of the network's dtype, 0 or 1.
        handicap: points given to the player to move, [B].
        on_board: where boards of several sizes are padded to one: 1 on the board, 0 beyond it,
            [B, 1, H, W]. What is said of a board is then what is said of it alone (Wu 2019,
            appendix A.1); beyond it, policies are nearly 0 and nobody owns anything.

        Raises:
            ValueError: this network cannot tell boards from what is beyond them.
        """
        batch, _, height, width = planes.shape
        given = (handicap / MARGIN_SCALE).to(planes.dtype)[:, None, None, None]
        komi = given.expand(batch, 1, height, width) if on_board is None else given * on_board
        x = self._maps(torch.cat([planes, komi], dim=1), on_board)  # [B, F, H, W]
        value, margin, ownership = self._value_head(x, on_board)
        return Outputs(self._policy_head(x, on_board), value, ownership, margin)

    def _maps(self, x: Tensor, on_board: Tensor | None) -> Tensor:
        """Planes and komi [B, C + 1, H, W] to [B, F, H, W]."""
        if self.trunk is not None:
            if on_board is not None:
                raise ValueError("only the tower takes boards of several sizes in one batch")
            maps: Tensor = self.trunk(x)
            return maps
        x = functional.relu(self.stem(x, on_board))
        for block in self.tower:
            x = block(x, on_board)
        return x

    def _policy_head(self, x: Tensor, on_board: Tensor | None) -> Tensor:
        features = functional.relu(self.policy_features(x, on_board))
        summary = pooled(features, on_board)
        biased = functional.relu(features + self.policy_bias(summary)[:, :, None, None])
        cells = self.policy_cells(biased)[:, 0]  # [B, H, W]
        if on_board is not None:
            cells = cells.masked_fill(on_board[:, 0] == 0, BEYOND)
        if self.shape.layout == "columns":
            columns: Tensor = cells.mean(dim=1)  # [B, W]
            return columns
        parts = [cells.flatten(1)] if self.shape.layout == "points" else []
        if self.policy_others is not None:
            parts.append(self.policy_others(summary))
        return torch.cat(parts, dim=1)

    def _value_head(self, x: Tensor, on_board: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        features = functional.relu(self.value_features(x, on_board))
        hidden = functional.relu(self.value_hidden(pooled(features, on_board)))
        value, margin = self.value_out(hidden).unbind(dim=1)
        ownership = torch.tanh(self.ownership_out(features)[:, 0])
        ownership = ownership if on_board is None else ownership * on_board[:, 0]
        return torch.tanh(value), margin, ownership
