"""StyleGAN: Karras, Laine & Aila 2018, A style-based generator architecture for generative
adversarial networks, arXiv 1812.04948.

A mapping of eight layers turns noise into a style; the image grows from a constant, and the style
sets mean and deviation of every layer's maps (adaptive instance normalisation, equation 1). Noise
of its own decides each layer's details (B in figure 1b). Some images are made with two styles, one
from a random layer on (3.1), and styles can be pulled towards their mean (appendix B).

    z -> mapping -> w ---------------- A ------------- A ----------- ... for every layer
                                       |               |
    constant -> + noise, activation, AdaIN -> conv -> + noise, activation, AdaIN -> upsample -> ...

It grows as its predecessor does, of which it takes the critic with smoothed planes.

Deviations: an upsampled plane is convolved at every size, where the authors' program has a
transposed convolution from 128 pixels on; the critic's pool follows its activation.

Legend: B batch, C channels, H W plane, W style, Z noise, S styled layers: two for each level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, instance_norm

from core.errors import UserError
from networks.base import Critic, Generator, Growth
from networks.generators.progressive import (
    TINY,
    EqualisedConv2d,
    EqualisedLinear,
    ProgressiveConfig,
    ProgressiveCritic,
    activated,
    blurred,
    faded,
    level_widths,
    pixel_norm,
    upsampled,
)
from networks.space import choice


@dataclass(frozen=True)
class StyleGANConfig(ProgressiveConfig):
    """Configuration F of table 1."""

    style: int = choice(512, (64, 128, 512))
    """W"""
    mapping_layers: int = choice(8, (2, 4, 8))
    """Between noise and style."""
    mapping_rate: float = choice(0.01, (0.01, 0.1, 1.0))
    """How fast they learn beside all others (appendix C)."""
    mixing: float = choice(0.9, (0.0, 0.5, 0.9))
    """Share of the images that are trained with two styles."""
    truncated_layers: int = 8
    """From the first on, that truncation holds for; the details of later ones stay."""
    mean_decay: float = 0.995
    """Of the running mean of styles, a batch."""


class Mapping(nn.Module):
    """Noise [B, Z] to styles [B, W]."""

    def __init__(self, config: StyleGANConfig) -> None:
        super().__init__()
        widths = (config.noise, *[config.style] * config.mapping_layers)
        self.layers = nn.ModuleList(
            EqualisedLinear(before, after, rate=config.mapping_rate)
            for before, after in zip(widths, widths[1:], strict=False)
        )

    def forward(self, noise: Tensor) -> Tensor:
        """[B, Z] to [B, W]"""
        x: Tensor = pixel_norm(noise)
        for layer in self.layers:
            x = activated(layer(x))
        return x


class Styling(nn.Module):
    """What follows each convolution: noise, bias, activation, AdaIN."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.affine = EqualisedLinear(style, 2 * channels, gain=1)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """[B, C, H, W] of the same shape; `style` [B, W], `noise` [B, 1, H, W] or None to draw."""
        if noise is None:
            noise = torch.randn(len(x), 1, *x.shape[2:], dtype=x.dtype, device=x.device)
        x = activated(x + self.strength * noise + self.bias)
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        styled: Tensor = instance_norm(x, eps=TINY) * (scale + 1) + shift
        return styled


class StyledConv(nn.Module):
    """A convolution without bias, and its styling."""

    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        super().__init__()
        conv = EqualisedConv2d(inputs, outputs, 3)
        self.weight, self.scale = conv.weight, conv.scale
        self.styling = Styling(outputs, style)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None, up: bool) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W], with `up` to twice the side."""
        x = conv2d(upsampled(x) if up else x, self.weight * self.scale, padding=1)
        styled: Tensor = self.styling(blurred(x) if up else x, style, noise)
        return styled


class StyleGANGenerator(Generator):
    """Noise float [B, Z] to images float [B, C, H, W] of about -1 to 1; there is no tanh."""

    mean_style: Tensor

    def __init__(self, config: StyleGANConfig) -> None:
        """Raises UserError for a shape that it cannot make, or a share that is none."""
        super().__init__()
        if not (0 <= config.mixing <= 1 and 0 <= config.mean_decay < 1):
            raise UserError(
                f"mixing is from 0 to 1 and mean_decay from 0 to under 1, got {config.mixing} and "
                f"{config.mean_decay}"
            )
        if config.truncated_layers < 0:
            raise UserError(f"truncated_layers is 0 or more, got {config.truncated_layers}")
        self.config = config
        self.noise_features = config.noise
        widths = level_widths(config)
        self.levels = len(widths)
        self.mapping = Mapping(config)
        self.register_buffer("mean_style", torch.zeros(config.style))
        self.constant = nn.Parameter(torch.ones(widths[0], 4, 4))
        self.first = Styling(widths[0], config.style)
        sizes = [width for width in widths for _ in range(2)]  # of the layers
        self.convs = nn.ModuleList(
            StyledConv(before, after, config.style)
            for before, after in zip(sizes, sizes[1:], strict=False)
        )  # S - 1: that of 4x4, two of each further level
        channels = config.sample_shape[0]
        self.to_image = nn.ModuleList(EqualisedConv2d(w, channels, 1, gain=1) for w in widths)

    def forward(self, noise: Tensor, growth: Growth | None = None) -> Tensor:
        """Images [B, C, side, side]; in training, which also follows the mean style, some of two
        styles."""
        style = self.mapping(noise)
        styles = self.everywhere(style)
        if self.training:
            with torch.no_grad():
                self.mean_style.lerp_(style.mean(dim=0), 1 - self.config.mean_decay)
            # On the processor, whose generator checkpoints keep.
            other = self.mapping(torch.randn(noise.shape).to(noise))
            layers = 2 * (growth.level + 1 if growth else self.levels)
            crossover = torch.randint(1, layers, (len(noise),))
            crossover[torch.rand(len(noise)) >= self.config.mixing] = layers
            styles = mixed(styles, self.everywhere(other), crossover.to(noise.device))
        return self.synthesise(styles, growth)

    def sample(self, noise: Tensor, growth: Growth | None, truncation: float) -> Tensor:
        """Images of one style each, which is pulled towards the mean."""
        return self.synthesise(self.styles(noise, truncation), growth)

    def styles(self, noise: Tensor, truncation: float = 1.0) -> Tensor:
        """Styles [B, S, W] of noise; in the first layers mean + truncation * (style - mean)."""
        style = self.everywhere(self.mapping(noise))
        near = self.mean_style.lerp(style, truncation)
        first = torch.arange(style.shape[1], device=style.device) < self.config.truncated_layers
        return torch.where(first[:, None], near, style)

    def everywhere(self, style: Tensor) -> Tensor:
        """One style [B, W] for all layers, [B, S, W]."""
        return style[:, None].expand(-1, 2 * self.levels, -1)

    def synthesise(
        self, styles: Tensor, growth: Growth | None = None, noise: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Images [B, C, side, side].

        Args:
            styles: [B, S, W].
            growth: how far; None for fully.
            noise: of each layer, [B, 1, H, W]; None to draw it.
        """
        growth = growth or Growth(self.levels - 1)
        x = self.constant.expand(len(styles), -1, -1, -1)
        planes = []
        for layer in range(2 * (growth.level + 1)):
            given = None if noise is None else noise[layer]
            if layer == 0:
                x = self.first(x, styles[:, 0], given)
            else:
                grows = layer % 2 == 0
                x = self.convs[layer - 1](x, styles[:, layer], given, grows)
            if layer % 2:
                planes.append(x)
        return faded(list(self.to_image), planes, growth.alpha)

    def build_critic(self) -> Critic:
        """The discriminator."""
        return ProgressiveCritic(self.config, blurs=True)


def mixed(first: Tensor, second: Tensor, crossover: Tensor) -> Tensor:
    """Styles [B, S, W]: those of `first` before layer number crossover [B], then of `second`."""
    layers = torch.arange(first.shape[1], device=first.device)
    return torch.where((layers < crossover[:, None])[:, :, None], first, second)


PRESETS = {"stylegan": StyleGANConfig()}


def build(config: StyleGANConfig) -> StyleGANGenerator:
    """The generator of a config, with fresh weights. Raises UserError for sides it cannot make."""
    return StyleGANGenerator(config)
