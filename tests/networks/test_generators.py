"""Networks that make images: what must hold of growing, styles and scaled weights, whatever the
weights are; and layers against slow versions from the papers' formulas."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from core.errors import UserError
from networks.base import Generator, Growth
from networks.generators.dcgan import DCGANConfig
from networks.generators.gan import GANConfig
from networks.generators.progressive import (
    EqualisedConv2d,
    EqualisedLinear,
    ProgressiveConfig,
    blurred,
    pixel_norm,
    with_deviation,
)
from networks.generators.stylegan import StyledConv, StyleGANConfig, StyleGANGenerator, mixed
from networks.registry import build_network

SMALL = {"sample_shape": (1, 16, 16), "base": 64, "widest": 16, "noise": 8}
STYLED = {**SMALL, "style": 12, "mapping_layers": 2, "truncated_layers": 6}


def small(name: str, seed: int = 0) -> Generator:
    """A network that grows to 16 pixels, all of whose weights are random."""
    torch.manual_seed(seed)
    generator = build_network(name, **(STYLED if name == "stylegan" else SMALL))
    assert isinstance(generator, Generator)
    for parameter in generator.parameters():
        if not parameter.any():
            nn.init.normal_(parameter)
    return generator.eval()


def fixed_noise(generator: StyleGANGenerator, batch: int) -> list[Tensor]:
    """The same for each layer and image."""
    sides = [4 << (layer // 2) for layer in range(2 * generator.levels)]
    return [torch.randn(1, 1, side, side).expand(batch, -1, -1, -1) for side in sides]


@pytest.mark.parametrize("name", ["progressive", "stylegan"])
def test_published_sizes_of_the_critics_and_the_mapping(name: str) -> None:
    with torch.device("meta"):
        generator = build_network(name)
        assert isinstance(generator, Generator)
        critic = generator.build_critic()
        # The authors' programs print 23,087,249 for both.
        assert sum(p.numel() for p in critic.parameters()) == 23_087_249
        if isinstance(generator, StyleGANGenerator):
            assert sum(p.numel() for p in generator.mapping.parameters()) == 2_101_248


@pytest.mark.parametrize("name", ["progressive", "stylegan"])
def test_a_new_size_begins_as_the_upsampled_old_one(name: str) -> None:
    generator, noise = small(name), torch.randn(3, 8)
    critic = generator.build_critic()
    for level in (1, 2):
        torch.manual_seed(1)  # of the noise in the layers
        old = generator(noise, Growth(level - 1))
        torch.manual_seed(1)
        new = generator(noise, Growth(level, 0.0))
        assert new.shape == (3, 1, 4 << level, 4 << level)
        torch.testing.assert_close(new, old.repeat_interleave(2, 2).repeat_interleave(2, 3))
        torch.manual_seed(1)
        assert not torch.allclose(generator(noise, Growth(level, 0.5)), new, atol=1e-3)
        images = torch.randn(3, 1, 4 << level, 4 << level)
        torch.testing.assert_close(
            critic(images, Growth(level, 0.0)), critic(avg_pool2d(images, 2), Growth(level - 1))
        )
        assert not torch.allclose(
            critic(images, Growth(level, 0.5)), critic(images, Growth(level, 0.0)), atol=1e-3
        )


def test_weights_are_scaled_as_published() -> None:
    torch.manual_seed(0)
    conv, layer = EqualisedConv2d(40, 300, 3), EqualisedLinear(400, 300, gain=1, rate=0.01)
    for module, fan_in, gain in ((conv, 360, math.sqrt(2)), (layer, 400, 1.0)):
        effective = module.weight.detach() * module.scale
        assert effective.std().item() == pytest.approx(gain / math.sqrt(fan_in), rel=0.02)
    images, features = torch.randn(2, 40, 6, 6), torch.randn(5, 400)
    nn.init.normal_(conv.bias)
    nn.init.normal_(layer.bias)
    plain = nn.Conv2d(40, 300, 3, padding=1)
    with torch.no_grad():
        plain.weight.copy_(conv.weight * math.sqrt(2 / 360))
        plain.bias.copy_(conv.bias)  # type: ignore[union-attr]
    torch.testing.assert_close(conv(images), plain(images), atol=1e-4, rtol=1e-4)
    expected = features @ (layer.weight * 0.01 / 20).T + 0.01 * layer.bias
    torch.testing.assert_close(layer(features), expected)
    layer(features).sum().backward()
    # A step of Adam moves all stored weights alike, so these a hundred times less beside theirs.
    assert layer.weight.std().item() == pytest.approx(100, rel=0.02)
    torch.testing.assert_close(layer.bias.grad, torch.full((300,), 5 * 0.01))


def test_the_critic_sees_how_much_a_batch_differs() -> None:
    x = torch.randn(8, 3, 2, 2, dtype=torch.float64)
    found = with_deviation(x)
    for image in range(8):
        group = [i for i in range(8) if i % 2 == image % 2]  # two groups of four
        values = x[group]
        deviation = ((values - values.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[image, 3], deviation.expand(2, 2))
    torch.testing.assert_close(found[:, :3], x)
    assert with_deviation(x[:1].expand(4, -1, -1, -1))[:, 3].max() <= 1.1e-4
    assert with_deviation(x[:3]).shape == (3, 4, 2, 2)


def test_norm_and_blur_are_what_they_are_called() -> None:
    x = torch.randn(2, 5, 6, 6)
    torch.testing.assert_close(
        pixel_norm(x).square().mean(1), torch.ones(2, 6, 6), atol=1e-5, rtol=0
    )
    weights = torch.tensor([2.0, 1, 1]) / 4  # of places 0, 1, -1
    expected = torch.zeros(2, 5, 4, 4)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            expected += weights[i] * weights[j] * x[:, :, 1 + i : 5 + i, 1 + j : 5 + j]
    torch.testing.assert_close(blurred(x)[:, :, 1:5, 1:5], expected)


def test_a_style_sets_mean_and_deviation_of_each_map() -> None:
    generator = small("stylegan")
    assert isinstance(generator, StyleGANGenerator)
    x, style = torch.randn(2, 16, 8, 8), torch.randn(2, 12)
    styling = cast(StyledConv, generator.convs[1]).styling
    styled = styling(x, style, torch.randn(2, 1, 8, 8))
    scale, shift = styling.affine(style).chunk(2, dim=1)
    torch.testing.assert_close(styled.mean((2, 3)), shift, atol=1e-5, rtol=1e-4)
    deviation = styled.std((2, 3), unbiased=False)
    torch.testing.assert_close(deviation, (scale + 1).abs(), atol=1e-5, rtol=1e-4)


def test_truncation_to_nothing_gives_one_image() -> None:
    generator, noise = small("stylegan"), torch.randn(4, 8)
    assert isinstance(generator, StyleGANGenerator)
    generator.mean_style.normal_()
    layers = fixed_noise(generator, 4)

    def images(truncation: float) -> Tensor:
        return generator.synthesise(generator.styles(noise, truncation), noise=layers)

    apart = [(images(t) - images(t)[:1]).abs().max().item() for t in (0.0, 0.5, 1.0)]
    assert apart[0] == 0 and 0.01 < apart[1] < apart[2]
    generator.config = StyleGANConfig(**{**STYLED, "truncated_layers": 2})  # type: ignore[arg-type]
    styles = generator.styles(noise, 0.0)
    assert torch.equal(styles[:, :2], generator.mean_style.expand(4, 2, -1))
    assert torch.equal(styles[:, 2:], generator.styles(noise)[:, 2:])


def test_mixing_changes_only_later_layers() -> None:
    generator = small("stylegan")
    assert isinstance(generator, StyleGANGenerator)
    first, second = (generator.styles(torch.randn(2, 8)) for _ in range(2))
    layers = fixed_noise(generator, 2)
    seen: list[list[Tensor]] = []
    for conv in (generator.first, *generator.convs):
        conv.register_forward_hook(lambda module, inputs, output: seen[-1].append(output))
    crossover = torch.tensor([3, 3])
    for styles in (first, mixed(first, second, crossover)):
        seen.append([])
        generator.synthesise(styles, noise=layers)
    changed = [not torch.equal(one, other) for one, other in zip(*seen, strict=True)]
    assert changed == [False] * 3 + [True] * 3
    places = torch.tensor([1, 6])
    assert torch.equal(mixed(first, second, places)[1], first[1])
    assert torch.equal(mixed(first, second, places)[0, 1:], second[0, 1:])


def test_training_mixes_styles_and_follows_their_mean() -> None:
    generator, noise = small("stylegan"), torch.randn(64, 8)
    assert isinstance(generator, StyleGANGenerator)
    style = generator.mapping(noise)
    generator.train()
    generator(noise, Growth(1))
    torch.testing.assert_close(generator.mean_style, 0.005 * style.mean(0), atol=1e-6, rtol=1e-4)


def test_shapes_that_cannot_be_made_are_refused() -> None:
    assert DCGANConfig().side_made(28) == 28 and DCGANConfig().side_made(30) == 32
    assert ProgressiveConfig().side_made(28) == 32 and ProgressiveConfig().side_made(8) == 8
    assert GANConfig().side_made(30) == 30
    for name in ("dcgan", "progressive", "stylegan"):
        for shape in ((2,), (1, 30, 30), (1, 16, 32)):
            with pytest.raises(UserError, match="square images"):
                build_network(name, sample_shape=shape)
    for options in ({"mixing": 5.0}, {"mean_decay": 1.0}, {"truncated_layers": -3}):
        with pytest.raises(UserError, match=next(iter(options))):
            build_network("stylegan", **options)
    with pytest.raises(UserError, match="batch, layer or none"):
        build_network("dcgan", normalisation="bath")
    for side in (8, 28, 32):
        generator = build_network("dcgan", sample_shape=(2, side, side), width=4, noise=3)
        assert isinstance(generator, Generator)
        images = generator(torch.randn(2, 3))
        assert images.shape == (2, 2, side, side)
        assert generator.build_critic()(images).shape == (2,)
