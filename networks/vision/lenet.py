"""LeNet-5: LeCun, Bottou, Bengio & Haffner 1998, Gradient-based learning applied to document
recognition, section II.B.

Convolutions that share their weights over the plane, with pools between them, read the pixels
themselves: no features made by hand. Layers are named as in the paper.

lenet5        As it is built today: every map of C3 sees all maps of S2, greatest values as pools,
              rectified linear units, a linear output.
lenet5_1998   The paper's: each map of C3 sees some of S2 (table I); pools are sums with a trained
              coefficient and bias; units are 1.7159 tanh(2/3 a); and the output measures how far
              F6 is from a fixed code of each class. Cross-entropy of its logits is the paper's
              loss (equation 9, its constant left out).

Deviation: codes are drawn at random, which the paper names as the alternative to its pictures of
characters, since classes need not be characters.

Legend: B batch, C channels, H W plane, D features, K classes. Sizes in comments are for 32x32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import UserError, did_you_mean
from networks.base import ImageNetwork
from networks.blocks.activations import ACTIVATIONS, activation
from networks.blocks.initialisation import initialise
from networks.space import choice

PLANE = 32
"""Images up to this size are centred on a plane of zeros, as the paper's of 28x28."""

C3_SEES = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""Maps of S2 that each map of C3 sees, the paper's table I."""


@dataclass(frozen=True)
class LeNetConfig:
    """Three convolutions with two pools between them, a hidden layer and an output."""

    num_classes: int = 10
    """K"""
    in_channels: int = 1
    """C of the images."""
    image_size: tuple[int, int] = (32, 32)
    """Height and width of the largest images; over 32 pixels, C5 grows with them."""
    connections: str = choice("all", ("all", "table"))
    """Maps of S2 that a map of C3 sees: all, or those of the paper's table I."""
    pooling: str = choice("max", ("max", "average", "trained"))
    """trained: the sum of 2x2 pixels with a coefficient and a bias for each map."""
    activation: str = choice("relu", ("relu", "tanh", "scaled_tanh", "elu", "gelu", "swish"))
    """After every layer but the last; scaled_tanh is the paper's."""
    output: str = choice("linear", ("linear", "codes"))
    """codes: how near F6 is to a fixed code of each class."""


class ScaledTanh(nn.Module):
    """1.7159 tanh(2/3 a), which is 1 at 1 and -1 at -1 (appendix A)."""

    def forward(self, a: Tensor) -> Tensor:
        """Elementwise."""
        return 1.7159 * torch.tanh(2 / 3 * a)


class TrainedPool(nn.Module):
    """coefficient * (sum of 2x2 pixels) + bias, and the activation of that."""

    def __init__(self, channels: int, squash: nn.Module) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((channels, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.squash = squash

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] to [B, channels, H / 2, W / 2]"""
        sums = functional.avg_pool2d(x, 2, divisor_override=1)
        y: Tensor = self.squash(self.coefficient * sums + self.bias)
        return y


class SparseConvolution(nn.Module):
    """A convolution whose output maps see different input maps.

    Args:
        inputs: input maps.
        sees: for each output map, the numbers of those that it sees.
        size: of the kernels.
    """

    pairs: Tensor

    def __init__(self, inputs: int, sees: Sequence[Sequence[int]], size: int) -> None:
        super().__init__()
        pairs = [(output, seen) for output, maps in enumerate(sees) for seen in maps]
        self.register_buffer("pairs", torch.tensor(pairs).T, persistent=False)  # [2, pairs]
        fan_in = torch.tensor([len(sees[output]) * size**2 for output, _ in pairs])
        self.weight = nn.Parameter(
            torch.randn(len(pairs), size, size) / fan_in[:, None, None].sqrt()
        )
        self.bias = nn.Parameter(torch.zeros(len(sees)))
        self.shape = (len(sees), inputs, size, size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H - size + 1, W - size + 1]"""
        outputs, inputs = self.pairs
        kernel = self.weight.new_zeros(self.shape).index_put((outputs, inputs), self.weight)
        return functional.conv2d(x, kernel, self.bias)


class CodeOutput(nn.Module):
    """Minus the squared distances to the codes of the classes, vectors of -1 and 1."""

    codes: Tensor

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("codes", 2.0 * torch.randint(2, (num_classes, inputs)) - 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """[B, D] to [B, K]"""
        return -(x[:, None] - self.codes).square().sum(dim=2)


class LeNet(ImageNetwork):
    """Images float [B, C, H, W], of `image_size` or smaller, to class logits [B, K]."""

    smallest_input = 1

    def __init__(self, config: LeNetConfig) -> None:
        """Raises UserError for an unknown name of a part."""
        super().__init__()
        self.num_features = 84
        self.plane = [max(PLANE, side) for side in config.image_size]
        height, width = (((side - 4) // 2 - 4) // 2 for side in self.plane)
        self.c1 = nn.Conv2d(config.in_channels, 6, 5)
        self.s2 = _pool(config, 6)
        self.c3 = _c3(config.connections)
        self.s4 = _pool(config, 16)
        self.c5 = nn.Linear(16 * height * width, 120)
        self.f6 = nn.Linear(120, self.num_features)
        self.output = _output(config, self.num_features)
        self.activation = _activation(config.activation)
        initialise(self, "lecun_normal" if "tanh" in config.activation else "kaiming_normal")

    def forward_features(self, images: Tensor) -> Tensor:
        """F6, [B, D].

        Raises:
            UserError: the images are larger than those that the network was built for.
        """
        x = self.activation(self.c1(self.centred(images)))  # [B, 6, 28, 28]
        x = self.s2(x)  # [B, 6, 14, 14]
        x = self.activation(self.c3(x))  # [B, 16, 10, 10]
        x = self.s4(x).flatten(1)  # [B, 16 * 5 * 5]
        x = self.activation(self.c5(x))  # [B, 120]
        features: Tensor = self.activation(self.f6(x))  # [B, 84]
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.output(self.forward_features(images))
        return logits

    def centred(self, images: Tensor) -> Tensor:
        """The images in the middle of the plane: [B, C, 32, 32] for all up to 32x32."""
        down, right = (side - size for side, size in zip(self.plane, images.shape[2:], strict=True))
        if min(down, right) < 0:
            raise UserError(
                f"this LeNet-5 was built for images up to {'x'.join(map(str, self.plane))}, these "
                f"are {'x'.join(map(str, images.shape[2:]))}; set image_size"
            )
        edges = (right // 2, right - right // 2, down // 2, down - down // 2)
        return functional.pad(images, edges)


def _activation(name: str) -> nn.Module:
    _require("activation", name, (*ACTIVATIONS, "scaled_tanh"))
    return ScaledTanh() if name == "scaled_tanh" else activation(name)


def _c3(connections: str) -> nn.Module:
    _require("connections", connections, ("all", "table"))
    return nn.Conv2d(6, 16, 5) if connections == "all" else SparseConvolution(6, C3_SEES, 5)


def _pool(config: LeNetConfig, channels: int) -> nn.Module:
    _require("pooling", config.pooling, ("max", "average", "trained"))
    if config.pooling == "trained":
        return TrainedPool(channels, _activation(config.activation))
    return nn.MaxPool2d(2) if config.pooling == "max" else nn.AvgPool2d(2)


def _output(config: LeNetConfig, inputs: int) -> nn.Module:
    _require("output", config.output, ("linear", "codes"))
    layer = nn.Linear if config.output == "linear" else CodeOutput
    return layer(inputs, config.num_classes)


def _require(part: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UserError(
            f"LeNet-5 has no {part} {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})"
        )


PRESETS = {
    "lenet5": LeNetConfig(),
    "lenet5_1998": LeNetConfig(
        connections="table", pooling="trained", activation="scaled_tanh", output="codes"
    ),
}


def build(config: LeNetConfig) -> LeNet:
    """The network of a config, with fresh weights."""
    return LeNet(config)
