"""The deep residual network of IMPALA: Espeholt et al. 2018, arXiv 1802.01561, figure 3 (right).

Three sections, each a convolution, a pooling and two residual blocks: 15 convolutions. Against the
Nature network: deeper, small filters, no strides. The paper's LSTM on top is left out: agents here
see stacked frames.

Beyond the Rainbow (BTR: Clark et al. 2024, arXiv 2411.03820) doubles its channels, divides the
weights of the residual blocks by their spectral norm, and pools what comes out to 6x6.

Deviation: pooling pads all sides alike, where TensorFlow pads even sizes at the end only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.lanes import ObservationSpec
from networks.torso import (
    Torso,
    flattened_features,
    hidden_layers,
    image_channels,
    require_image,
    scale_image,
)

SECTIONS = (16, 32, 32)
"""Channels of each."""
BLOCKS = 2
"""Residual blocks of a section."""
LEAST_NORM = 1e-12
"""Vectors shorter than this are not made longer."""

Convolution = Callable[..., nn.Conv2d]


class SpectralConv2d(nn.Conv2d):
    """A convolution with its weight, as a matrix [outputs, inputs * 9], divided by the largest
    singular value: Miyato et al. 2018, arXiv 1802.05957, algorithm 1.

    That value is followed by one step of power iteration a forward pass, in training with
    gradients only, so that acting and evaluating change nothing.
    """

    def __init__(self, inputs: int, outputs: int, size: int, padding: int) -> None:
        super().__init__(inputs, outputs, size, padding=padding)
        matrix = self.weight.detach().flatten(1)
        self.left: Tensor
        self.right: Tensor
        self.register_buffer("left", torch.empty(len(matrix)))
        self.register_buffer("right", functional.normalize(torch.randn(matrix.shape[1]), dim=0))
        self._iterate(matrix, steps=15)

    @torch.no_grad()
    def fit_buffers(self) -> None:
        """One step of power iteration, as in training: the vectors follow the weight."""
        self._iterate(self.weight.flatten(1))

    def _iterate(self, matrix: Tensor, steps: int = 1) -> None:
        for _ in range(steps):
            functional.normalize(matrix @ self.right, dim=0, eps=LEAST_NORM, out=self.left)
            functional.normalize(matrix.T @ self.left, dim=0, eps=LEAST_NORM, out=self.right)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W]"""
        with torch.autocast(x.device.type, enabled=False):
            matrix = self.weight.flatten(1)
            if self.training and torch.is_grad_enabled():
                self._iterate(matrix.detach())
            # Copies: backward needs the vectors of this pass.
            norm = self.left.clone() @ (matrix @ self.right.clone())
            weight = self.weight / norm
        y: Tensor = self._conv_forward(x, weight, self.bias)
        return y


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x))))"""

    def __init__(self, channels: int, convolution: Convolution = nn.Conv2d) -> None:
        super().__init__()
        self.conv1 = convolution(channels, channels, 3, padding=1)
        self.conv2 = convolution(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W]"""
        y = self.conv1(functional.relu(x))
        y = self.conv2(functional.relu(y))
        summed: Tensor = x + y
        return summed


class ImpalaCNN(Torso):
    """uint8 [B, K, H, W], at least 5x5 -> features [B, 256]."""

    def __init__(
        self,
        spec: ObservationSpec,
        hidden: Sequence[int] = (),
        *,
        name: str = "impala",
        units: int = 256,
        width: int = 1,
        convolution: Convolution = nn.Conv2d,
        pooled: int = 0,
    ) -> None:
        """Args:
            spec: the observations.
            hidden: units of each layer after the convolutions; empty for one of ``units``.
            name: what errors call it.
            units: D.
            width: channels are multiplied by it.
            convolution: of the residual blocks.
            pooled: pool to so many pixels a side at last, by maxima; 0 for not at all.

        Raises:
            UserError: frames are not images of 5x5 or more.
        """
        super().__init__()
        require_image(spec, name, 5)
        channels = image_channels(spec)
        sections: list[nn.Module] = []
        widths = [width * section for section in SECTIONS]
        for inputs, outputs in zip((channels, *widths), widths, strict=False):
            sections += [
                nn.Conv2d(inputs, outputs, 3, padding=1),
                nn.MaxPool2d(3, stride=2, padding=1),  # 84x84: 42x42, 21x21, 11x11
                *(ResidualBlock(outputs, convolution) for _ in range(BLOCKS)),
            ]
        sections += [nn.ReLU(), *([nn.AdaptiveMaxPool2d(pooled)] if pooled else [])]
        self.convolutions = nn.Sequential(*sections, nn.Flatten())
        layers = tuple(hidden) or (units,)
        self.hidden = hidden_layers(flattened_features(self.convolutions, channels, spec), layers)
        self.num_features = layers[-1]

    def forward(self, observation: Tensor) -> Tensor:
        """Frames, uint8 [B, K, H, W], to features [B, D]."""
        features: Tensor = self.hidden(self.convolutions(scale_image(observation)))
        return features


impala_btr = partial(
    ImpalaCNN, name="impala_btr", units=512, width=2, convolution=SpectralConv2d, pooled=6
)
"""What BTR sees through (Clark et al. 2024, section 3 and appendix; 2,304 numbers of 84x84)."""
