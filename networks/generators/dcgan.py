"""DCGAN: Radford, Metz & Chintala 2015, Unsupervised representation learning with deep
convolutional generative adversarial networks, arXiv 1511.06434.

Images without a fully connected hidden layer: convolutions with a stride of 2 in the critic,
transposed ones in the generator, batch normalisation in both but for the first layer of the critic
and the last of the generator.

Layers and their names are those of torch's DCGAN example, whose 4x4 kernels are not the paper's
5x5; its state dicts load as they are. Sides other than 64 begin with a plane of 4 to 7 pixels: 28
are made as 7, 14, 28.

Legend: B batch, C channels, H W plane, Z noise. Sizes in comments are for 64x64.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from core.errors import UserError
from networks.base import Critic, Generator, Growth
from networks.space import choice

SLOPE = 0.2
"""Of the critic's units below 0."""


@dataclass(frozen=True)
class DCGANConfig:
    """Two convolutional networks of the same sizes."""

    sample_shape: tuple[int, ...] = (3, 64, 64)
    """C, H, W of an image."""
    noise: int = choice(100, (32, 64, 100))
    """Z"""
    width: int = choice(64, (16, 32, 64, 128))
    """Channels of the largest plane; each smaller one has twice as many. The paper has 128."""
    normalisation: str = choice("batch", ("batch", "layer", "none"))
    """Of the generator."""
    critic_normalisation: str = choice("batch", ("batch", "layer", "none"))
    """Of the critic; a gradient penalty needs layer or none (WGAN-GP, section 4)."""

    def side_made(self, wanted: int) -> int:
        """Pixels a side that it makes where so many are wanted: 4 to 7 doubled a few times."""
        step = 1
        while wanted > 7 * step:
            step *= 2
        return max(4, -(-wanted // step)) * step


class DCGANGenerator(Generator):
    """Noise float [B, Z] to images float [B, C, H, W] of -1 to 1."""

    def __init__(self, config: DCGANConfig) -> None:
        """Raises UserError for a shape that it cannot make."""
        super().__init__()
        self.config = config
        self.noise_features = config.noise
        first, widths = _planes(config)
        kind, bias = config.normalisation, config.normalisation == "none"
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(config.noise, widths[0], first, bias=bias),  # [B, 512, 4, 4]
            *_normalised(kind, widths[0]),
            nn.ReLU(inplace=True),
        ]
        for before, after in zip(widths, widths[1:], strict=False):  # to [B, 64, 32, 32]
            layers.append(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias))
            layers += [*_normalised(kind, after), nn.ReLU(inplace=True)]
        channels = config.sample_shape[0]
        layers.append(nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=bias))
        self.main = nn.Sequential(*layers, nn.Tanh())
        self.apply(_draw_weights)

    def forward(self, noise: Tensor, growth: Growth | None = None) -> Tensor:
        """Images [B, C, H, W]."""
        images: Tensor = self.main(noise[:, :, None, None])
        return images

    def build_critic(self) -> Critic:
        """The discriminator."""
        return DCGANCritic(self.config)


class DCGANCritic(Critic):
    """Images [B, C, H, W] to scores [B]."""

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        last, widths = _planes(config)
        widths = widths[::-1]
        kind, bias = config.critic_normalisation, config.critic_normalisation == "none"
        channels = config.sample_shape[0]
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 4, 2, 1, bias=bias),  # [B, 64, 32, 32]
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
        for before, after in zip(widths, widths[1:], strict=False):  # to [B, 512, 4, 4]
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=bias))
            layers += [*_normalised(kind, after), nn.LeakyReLU(SLOPE, inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, last, bias=bias))
        self.apply(_draw_weights)

    def forward(self, samples: Tensor, growth: Growth | None = None) -> Tensor:
        """Scores [B]."""
        scores: Tensor = self.main(samples)  # [B, 1, 1, 1]
        return scores.flatten()


def _planes(config: DCGANConfig) -> tuple[int, list[int]]:
    """The side of the smallest plane, and the channels of all but the images, smallest plane first.

    Raises:
        UserError: images are not squares, or not of such a side.
    """
    shape = config.sample_shape
    if len(shape) != 3 or shape[1] != shape[2] or config.side_made(shape[1]) != shape[1]:
        raise UserError(
            f"DCGAN makes square images of 4 to 7 pixels doubled a few times (28, 32, 64), not "
            f"samples of {'x'.join(map(str, shape))}"
        )
    first = shape[1]
    widths: list[int] = []
    while first > 7 or not widths:
        if first % 2:
            raise UserError(f"DCGAN makes images of 8 pixels or more, not {shape[1]}")
        widths.insert(0, config.width << len(widths))
        first //= 2
    return first, widths


def _normalised(kind: str, channels: int) -> list[nn.Module]:
    if kind not in ("batch", "layer", "none"):
        raise UserError(f"DCGAN's normalisation is batch, layer or none, not {kind!r}")
    if kind == "batch":
        return [nn.BatchNorm2d(channels)]
    return [nn.GroupNorm(1, channels)] if kind == "layer" else []


def _draw_weights(layer: nn.Module) -> None:
    """Normal of deviation 0.02 (section 4)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


PRESETS = {"dcgan": DCGANConfig()}


def build(config: DCGANConfig) -> DCGANGenerator:
    """The generator of a config, with fresh weights. Raises UserError for sides it cannot make."""
    return DCGANGenerator(config)
