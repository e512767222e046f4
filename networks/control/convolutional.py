"""Convolutions, then a hidden layer: what deep Q-learning saw through.

- nature: Mnih et al. 2015, "Human-level control through deep reinforcement learning" (Nature 518,
  doi 10.1038/nature14236), Methods, "Model architecture".
- dqn2013: Mnih et al. 2013, "Playing Atari with Deep Reinforcement Learning" (arXiv 1312.5602),
  section 4.1: one convolution less, half the filters and hidden units, a third of the arithmetic.
- compact: dqn2013 for frames half as high and wide: first filters of half the side see as much of
  the screen. (A third convolution, for a fifth of the weights behind, learned Pong slower.)
- small: in their manner, for images too small for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from core.lanes import ObservationSpec
from networks.torso import (
    Torso,
    flattened_features,
    hidden_layers,
    image_channels,
    require_image,
    scale_image,
)


@dataclass(frozen=True)
class Design:
    """The sizes of one of these networks."""

    name: str
    convolutions: tuple[tuple[int, int, int, int], ...]
    """(filters, kernel size, stride, padding) of each."""
    hidden: int
    """Units after the convolutions."""
    smallest_image: int


class ConvolutionalTorso(Torso):
    """uint8 [B, K, H, W] -> features [B, D]."""

    def __init__(self, design: Design, spec: ObservationSpec, hidden: Sequence[int] = ()) -> None:
        """Args:
            design: the network.
            spec: the observations.
            hidden: units of each layer after the convolutions; empty for the design's.

        Raises:
            UserError: the frames are no images, or too small.
        """
        super().__init__()
        require_image(spec, design.name, design.smallest_image)
        channels = image_channels(spec)
        layers: list[nn.Module] = []
        before = channels
        for filters, size, stride, padding in design.convolutions:
            layers += [nn.Conv2d(before, filters, size, stride, padding), nn.ReLU()]
            before = filters
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        units = tuple(hidden) or (design.hidden,)
        self.hidden = hidden_layers(flattened_features(self.convolutions, channels, spec), units)
        self.num_features = units[-1]

    def forward(self, observation: Tensor) -> Tensor:
        """Frames, uint8 [B, K, H, W], to features [B, D]."""
        features: Tensor = self.hidden(self.convolutions(scale_image(observation)))
        return features


# 84x84 -> 20x20 -> 9x9 (-> 7x7)
nature = partial(
    ConvolutionalTorso,
    Design("nature", ((32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0)), 512, smallest_image=36),
)
dqn2013 = partial(
    ConvolutionalTorso, Design("dqn2013", ((16, 8, 4, 0), (32, 4, 2, 0)), 256, smallest_image=36)
)
compact = partial(
    ConvolutionalTorso, Design("compact", ((16, 4, 2, 0), (32, 4, 2, 0)), 256, smallest_image=20)
)
small = partial(
    ConvolutionalTorso, Design("small", ((16, 3, 1, 0), (32, 3, 2, 1)), 128, smallest_image=5)
)
