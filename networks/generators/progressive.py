"""Progressive growing: Karras et al. 2017, Progressive growing of GANs for improved quality,
stability, and variation, arXiv 1710.10196.

Generator and critic begin with images of 4x4 pixels; each doubling of the side is faded in, so that
what was learned goes on (section 2). A critic sees how much the images of a batch differ (section
3), weights are scaled while running, so that all learn at the same speed (4.1), and every pixel's
features have length 1 in the generator (4.2).

       level          the newest level           alpha
    ... -> block -> [ upsample -> block -> to image ] --- + -> image
              |                                           |
              +----> to image -> upsample --------------- + 1 - alpha

Legend: B batch, C channels, H W plane, Z noise, L levels: sides 4, 8, ... 4 * 2**(L - 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, linear

from core.errors import UserError
from networks.base import Critic, Generator, Growth
from networks.space import choice

SLOPE = 0.2
GROUP = 4
"""Images that are compared with each other."""
TINY = 1e-8


@dataclass(frozen=True)
class ProgressiveConfig:
    """Table 2 of the paper."""

    sample_shape: tuple[int, ...] = (3, 1024, 1024)
    """C, H, W of an image when all is grown."""
    noise: int = choice(512, (64, 128, 512))
    """Z"""
    base: int = choice(8192, (512, 1024, 8192))
    """Level l has base / 2**(l + 1) channels, but not more than `widest`."""
    widest: int = choice(512, (64, 128, 512))
    """Channels of a level at most."""

    def side_made(self, wanted: int) -> int:
        """Pixels a side that it makes where so many are wanted: the next power of two."""
        return 1 << max(3, (wanted - 1).bit_length())


class EqualisedConv2d(nn.Module):
    """A convolution whose weights are normal of deviation 1, and are multiplied by gain /
    sqrt(fan-in) while running, so that an optimiser like Adam moves all alike (section 4.1)."""

    def __init__(self, inputs: int, outputs: int, size: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * size**2)
        self.padding = size // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]"""
        return conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class EqualisedLinear(nn.Module):
    """The same of a linear layer. `rate` makes weights and biases learn slower by that factor."""

    def __init__(
        self, inputs: int, outputs: int, gain: float = math.sqrt(2), rate: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs) * rate
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] to [B, outputs]"""
        return linear(x, self.weight * self.scale, self.bias * self.rate)


def activated(x: Tensor) -> Tensor:
    """Leaky rectified linear units."""
    return leaky_relu(x, SLOPE)


def pixel_norm(x: Tensor) -> Tensor:
    """Features [B, C, ...] with a mean square of 1 at each place."""
    return x * (x.square().mean(dim=1, keepdim=True) + TINY).rsqrt()


def upsampled(x: Tensor) -> Tensor:
    """Each pixel four times: [B, C, H, W] to [B, C, 2 H, 2 W]."""
    return interpolate(x, scale_factor=2, mode="nearest")


def with_deviation(x: Tensor) -> Tensor:
    """One more plane that says how much the features of the images of a group differ: [B, C, H, W]
    to [B, C + 1, H, W]."""
    batch, _, height, width = x.shape
    group = next(size for size in range(min(GROUP, batch), 0, -1) if batch % size == 0)
    grouped = x.reshape(group, -1, *x.shape[1:])  # [group, groups, C, H, W]
    deviation = (grouped.var(dim=0, unbiased=False) + TINY).sqrt().mean(dim=(1, 2, 3))
    plane = deviation.repeat(group)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([x, plane], dim=1)


def level_widths(config: ProgressiveConfig) -> list[int]:
    """Channels of each level, [L].

    Raises:
        UserError: the images are not squares with a side of 8, 16, 32 ...
    """
    shape = config.sample_shape
    if len(shape) != 3 or shape[1] != shape[2] or config.side_made(shape[1]) != shape[1]:
        raise UserError(
            f"a network that grows makes square images of 8, 16, 32 ... pixels, not samples of "
            f"{'x'.join(map(str, shape))}"
        )
    levels = shape[1].bit_length() - 2
    widths = [min(config.base >> (level + 1), config.widest) for level in range(levels)]
    if not widths[-1]:
        raise UserError(f"base={config.base} leaves no channels at {shape[1]} pixels")
    return widths


def blurred(x: Tensor) -> Tensor:
    """Each pixel mixed with its neighbours by 1 2 1, along both axes: [B, C, H, W]."""
    ends = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype, device=x.device)
    kernel = (torch.outer(ends, ends) / 16).expand(x.shape[1], 1, 3, 3)
    return conv2d(x, kernel, padding=1, groups=x.shape[1])


class Block(nn.Module):
    """Two convolutions of a level of the generator."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = EqualisedConv2d(inputs, outputs, 3)
        self.conv1 = EqualisedConv2d(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, 2 H, 2 W]"""
        x = pixel_norm(activated(self.conv0(upsampled(x))))
        return pixel_norm(activated(self.conv1(x)))


def faded(images: Sequence[nn.Module], planes: Sequence[Tensor], alpha: float) -> Tensor:
    """The last of the planes as an image, the one before upsampled as the share 1 - alpha of it.

    Args:
        images: layers from planes to images, of all levels.
        planes: of the levels up to the newest, [B, C, H, W] each.
        alpha: 0 to 1.
    """
    newest: Tensor = images[len(planes) - 1](planes[-1])
    if alpha == 1 or len(planes) == 1:
        return newest
    return upsampled(images[len(planes) - 2](planes[-2])).lerp(newest, alpha)


class ProgressiveGenerator(Generator):
    """Noise float [B, Z] to images float [B, C, H, W] of about -1 to 1; there is no tanh."""

    def __init__(self, config: ProgressiveConfig) -> None:
        """Raises UserError for a shape that it cannot make."""
        super().__init__()
        self.config = config
        self.noise_features = config.noise
        widths = level_widths(config)
        self.levels = len(widths)
        # The gain is what the authors' program has.
        self.first = nn.Parameter(torch.randn(config.noise, widths[0] * 16))
        self.first_bias = nn.Parameter(torch.zeros(widths[0], 1, 1))
        self.first_scale = math.sqrt(2) / 4 / math.sqrt(config.noise)
        self.conv = EqualisedConv2d(widths[0], widths[0], 3)
        pairs = zip(widths, widths[1:], strict=False)
        self.blocks = nn.ModuleList(Block(before, after) for before, after in pairs)
        channels = config.sample_shape[0]
        self.to_image = nn.ModuleList(EqualisedConv2d(w, channels, 1, gain=1) for w in widths)

    def forward(self, noise: Tensor, growth: Growth | None = None) -> Tensor:
        """Images [B, C, side, side] of the newest level."""
        growth = growth or Growth(self.levels - 1)
        x = (pixel_norm(noise) @ (self.first * self.first_scale)).reshape(len(noise), -1, 4, 4)
        x = pixel_norm(activated(x + self.first_bias))
        planes = [pixel_norm(activated(self.conv(x)))]  # [B, 512, 4, 4]
        for block in self.blocks[: growth.level]:
            planes.append(block(planes[-1]))
        return faded(list(self.to_image), planes, growth.alpha)

    def build_critic(self) -> Critic:
        """The discriminator."""
        return ProgressiveCritic(self.config)


class ProgressiveCritic(Critic):
    """Images [B, C, side, side] of the newest level to scores [B]."""

    def __init__(self, config: ProgressiveConfig, blurs: bool = False) -> None:
        """`blurs` smoothes before each halving. Raises UserError for a shape it cannot see."""
        super().__init__()
        self.blurs = blurs
        widths = level_widths(config)
        channels = config.sample_shape[0]
        self.from_image = nn.ModuleList(EqualisedConv2d(channels, w, 1) for w in widths)
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualisedConv2d(after, after, 3), EqualisedConv2d(after, before, 3)])
            for before, after in zip(widths, widths[1:], strict=False)
        )
        self.conv = EqualisedConv2d(widths[0] + 1, widths[0], 3)
        self.hidden = EqualisedLinear(widths[0] * 16, widths[0])
        self.output = EqualisedLinear(widths[0], 1, gain=1)

    def forward(self, samples: Tensor, growth: Growth | None = None) -> Tensor:
        """Scores [B]."""
        growth = growth or Growth(len(self.blocks))
        x = activated(self.from_image[growth.level](samples))
        for level in range(growth.level, 0, -1):
            x = self._halved(level, x)
            if level == growth.level and growth.alpha < 1:
                older = activated(self.from_image[level - 1](avg_pool2d(samples, 2)))
                x = older.lerp(x, growth.alpha)
        x = activated(self.conv(with_deviation(x))).flatten(1)  # [B, 512 * 4 * 4]
        scores: Tensor = self.output(activated(self.hidden(x)))
        return scores.squeeze(1)

    def _halved(self, level: int, x: Tensor) -> Tensor:
        """[B, C, H, W] of a level to [B, C, H / 2, W / 2] of the one below."""
        first, second = self.blocks[level - 1].children()
        x = activated(first(x))
        return avg_pool2d(activated(second(blurred(x) if self.blurs else x)), 2)


PRESETS = {"progressive": ProgressiveConfig()}


def build(config: ProgressiveConfig) -> ProgressiveGenerator:
    """The generator of a config, with fresh weights. Raises UserError for sides it cannot make."""
    return ProgressiveGenerator(config)
