"""The policy and value networks of AlphaGo (Silver et al. 2016), for one size of board.

A convolution of 5x5, then of 3x3, each with a ReLU; one of 1x1 with a single filter; and a bias of
its own for every point, before a softmax over the points. The paper has 12 layers of 192 filters
before the last. The value network has one convolution more, and above its convolution of 1x1 a
hidden layer of 256 and a tanh. Deviation: weights begin after He et al. 2015; the paper does not
say how.

Legend: B batch, C planes, H W board.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PolicyTower(nn.Module):
    """Planes [B, C, H, W] to logits of the points [B, H * W]."""

    def __init__(self, planes: int, size: int, layers: int = 12, filters: int = 192) -> None:
        """Args:
        planes: C.
        size: H and W.
        layers: convolutions before the last.
        filters: of each.
        """
        super().__init__()
        self.body = tower(planes, layers, filters)
        self.last = nn.Conv2d(filters, 1, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(size * size))

    def forward(self, planes: Tensor) -> Tensor:
        """Logits of the softmax."""
        logits: Tensor = self.last(self.body(planes)).flatten(1) + self.bias
        return logits


def tower(planes: int, layers: int, filters: int) -> nn.Sequential:
    """Convolutions with ReLUs, [B, planes, H, W] to [B, filters, H, W]."""
    channels = [planes, *[filters] * layers]
    body: list[nn.Module] = []
    for index in range(layers):
        kernel = 5 if index == 0 else 3
        conv = nn.Conv2d(channels[index], filters, kernel, padding=kernel // 2)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        body += [conv, nn.ReLU()]
    return nn.Sequential(*body)


class ValueTower(nn.Module):
    """Planes [B, C, H, W] to expected outcomes of the player to move [B], -1 to 1."""

    HIDDEN = 256

    def __init__(self, planes: int, size: int, layers: int = 13, filters: int = 192) -> None:
        """Args:
        planes: C.
        size: H and W.
        layers: convolutions before the last.
        filters: of each.
        """
        super().__init__()
        self.body = tower(planes, layers, filters)
        self.last = nn.Conv2d(filters, 1, 1)
        self.hidden = nn.Linear(size * size, self.HIDDEN)
        self.out = nn.Linear(self.HIDDEN, 1)

    def forward(self, planes: Tensor) -> Tensor:
        """Expected outcomes."""
        points = self.last(self.body(planes)).flatten(1)
        values: Tensor = torch.tanh(self.out(torch.relu(self.hidden(points)))).squeeze(1)
        return values
