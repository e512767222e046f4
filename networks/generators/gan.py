"""GAN: Goodfellow et al. 2014, Generative adversarial nets, arXiv 1406.2661.

A generator turns noise into samples, a discriminator says of a sample whether it is data, and each
learns against the other. Both are perceptrons here, for points and for small images.

Deviations: leaky rectified linear units in place of maxout and dropout in the discriminator, as all
later work has them; noise is normal. A discriminator returns logits, and without a sigmoid it is
the critic of WGAN as well (`losses.py`).

Legend: B batch, D features, Z noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from networks.base import Critic, Generator, Growth
from networks.space import choice

SLOPE = 0.2
"""Of the critic's units below 0."""


@dataclass(frozen=True)
class GANConfig:
    """Two perceptrons."""

    sample_shape: tuple[int, ...] = (2,)
    """Of a sample: D, or C, H, W."""
    noise: int = choice(16, (2, 16, 64))
    """Z"""
    hidden: tuple[int, ...] = choice((128, 128, 128), ((64, 64), (128, 128, 128), (512, 512, 512)))
    """Units of the generator's hidden layers."""
    critic_hidden: tuple[int, ...] = choice(
        (128, 128, 128), ((64, 64), (128, 128, 128), (512, 512, 512))
    )
    """Units of the critic's."""

    def side_made(self, wanted: int) -> int:
        """Pixels a side that it makes where so many are wanted: exactly those."""
        return wanted


class GANGenerator(Generator):
    """Noise float [B, Z] to samples [B, *sample_shape]; pixels go through a tanh."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.config = config
        self.noise_features = config.noise
        widths = (config.noise, *config.hidden, math.prod(config.sample_shape))
        self.layers = nn.Sequential(*_layers(widths, nn.ReLU()))
        self.output = nn.Tanh() if len(config.sample_shape) == 3 else nn.Identity()

    def forward(self, noise: Tensor, growth: Growth | None = None) -> Tensor:
        """Samples [B, *sample_shape]."""
        samples: Tensor = self.output(self.layers(noise))
        return samples.reshape(-1, *self.config.sample_shape)

    def build_critic(self) -> Critic:
        """The discriminator."""
        return GANCritic(self.config)


class GANCritic(Critic):
    """Samples [B, *sample_shape] to scores [B]."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        widths = (math.prod(config.sample_shape), *config.critic_hidden, 1)
        self.layers = nn.Sequential(*_layers(widths, nn.LeakyReLU(SLOPE)))

    def forward(self, samples: Tensor, growth: Growth | None = None) -> Tensor:
        """Scores [B]."""
        scores: Tensor = self.layers(samples.flatten(1))
        return scores.squeeze(1)


def _layers(widths: Sequence[int], activation: nn.Module) -> Iterator[nn.Module]:
    """Linear layers, the activation between them."""
    for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        if i:
            yield activation
        yield nn.Linear(before, after)


PRESETS = {"gan": GANConfig()}


def build(config: GANConfig) -> GANGenerator:
    """The generator of a config, with fresh weights."""
    return GANGenerator(config)
