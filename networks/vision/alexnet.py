"""AlexNet: Krizhevsky, Sutskever & Hinton 2012, ImageNet classification with deep convolutional
neural networks; the one-tower form is Krizhevsky 2014, arXiv 1404.5997.

Five convolutions and three fully connected layers with rectified linear units, dropout and
overlapping pools, large enough for a million photographs.

alexnet2012   The paper's: two towers, one for each GPU, which see each other in the third
              convolution and in the fully connected layers; here, convolutions in two groups.
              Neighbouring channels inhibit each other (local response normalisation).
alexnet       One tower, narrower in front, without the normalisation, and with dropout before the
              hidden layers: torchvision's, whose state dict loads as it is.

Deviations: planes other than 6x6 are averaged into 6x6, as in torchvision; weights begin as those
of He et al. 2015, since the paper's (of deviation 0.01) are for pixels that go up to 255.

Legend: B batch, C channels, H W plane, D features, K classes. Sizes in comments are for 224x224.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from networks.base import ImageNetwork
from networks.blocks.activations import activation
from networks.blocks.initialisation import initialise
from networks.space import choice

CELLS = 6
"""Side of the plane that the hidden layers see."""


@dataclass(frozen=True)
class AlexNetConfig:
    """Five convolutions and two hidden layers."""

    num_classes: int = 1000
    """K"""
    in_channels: int = 3
    """C of the images."""
    widths: tuple[int, int, int, int, int] = choice(
        (64, 192, 384, 256, 256),
        ((32, 96, 192, 128, 128), (64, 192, 384, 256, 256), (96, 256, 384, 384, 256)),
    )
    """Channels of each convolution, of both towers together."""
    towers: int = choice(1, (1, 2))
    """Groups of channels that see only their own in the second, fourth and fifth convolution."""
    response_normalisation: bool = choice(False, (False, True))
    """Local response normalisation after the first two convolutions (section 3.3)."""
    hidden: int = choice(4096, (256, 512, 1024, 4096))
    """D, units of both hidden layers."""
    dropout: float = choice(0.5, (0.0, 0.2, 0.5))
    """Share of units set to zero in training."""
    dropout_first: bool = True
    """Drop what the hidden layers see, as torchvision does; False: what they give, as the paper."""
    activation: str = choice("relu", ("relu", "tanh", "leaky_relu", "elu", "gelu", "swish", "mish"))
    """After every layer but the last."""


class AlexNet(ImageNetwork):
    """Images float [B, C, H, W] to class logits [B, K]."""

    smallest_input = 63

    def __init__(self, config: AlexNetConfig) -> None:
        """Raises UserError for an unknown activation."""
        super().__init__()
        self.num_features = config.hidden
        self.features = _convolutions(config)
        self.avgpool = nn.AdaptiveAvgPool2d(CELLS)
        self.classifier = nn.Sequential(
            *_hidden_layer(config.widths[-1] * CELLS * CELLS, config),
            *_hidden_layer(config.hidden, config),
            nn.Linear(config.hidden, config.num_classes),
        )
        initialise(self, "kaiming_normal")

    def forward_features(self, images: Tensor) -> Tensor:
        """The second hidden layer, [B, D]."""
        x = self.features(images)  # [B, 256, 6, 6]
        x = self.avgpool(x).flatten(1)  # [B, 256 * 6 * 6]
        features: Tensor = self.classifier[:-1](x)  # [B, D]
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        logits: Tensor = self.classifier[-1](self.forward_features(images))
        return logits


def _convolutions(config: AlexNetConfig) -> nn.Sequential:
    """Shapes are those of one tower."""
    first, second, third, fourth, fifth = config.widths
    act = partial(activation, config.activation)
    pool = partial(nn.MaxPool2d, 3, stride=2)
    return nn.Sequential(
        nn.Conv2d(config.in_channels, first, 11, stride=4, padding=2),  # [B, 64, 55, 55]
        act(),
        *_inhibition(config),
        pool(),  # [B, 64, 27, 27]
        nn.Conv2d(first, second, 5, padding=2, groups=config.towers),  # [B, 192, 27, 27]
        act(),
        *_inhibition(config),
        pool(),  # [B, 192, 13, 13]
        nn.Conv2d(second, third, 3, padding=1),  # [B, 384, 13, 13]
        act(),
        nn.Conv2d(third, fourth, 3, padding=1, groups=config.towers),  # [B, 256, 13, 13]
        act(),
        nn.Conv2d(fourth, fifth, 3, padding=1, groups=config.towers),  # [B, 256, 13, 13]
        act(),
        pool(),  # [B, 256, 6, 6]
    )


def _inhibition(config: AlexNetConfig) -> list[nn.Module]:
    """Local response normalisation with the paper's k = 2, n = 5, alpha = 1e-4, beta = 0.75."""
    if not config.response_normalisation:
        return []
    return [nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)]  # torch divides alpha by n


def _hidden_layer(inputs: int, config: AlexNetConfig) -> list[nn.Module]:
    layer = [nn.Linear(inputs, config.hidden), activation(config.activation)]
    dropout = nn.Dropout(config.dropout)
    return [dropout, *layer] if config.dropout_first else [*layer, dropout]


PRESETS = {
    "alexnet2012": AlexNetConfig(
        widths=(96, 256, 384, 384, 256),
        towers=2,
        response_normalisation=True,
        dropout_first=False,
    ),
    "alexnet": AlexNetConfig(),
}


def build(config: AlexNetConfig) -> AlexNet:
    """The network of a config, with fresh weights."""
    return AlexNet(config)
