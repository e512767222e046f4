"""A network of a design, whatever its space; and designs in files as networks of the registry.

    --network designed:FILE.json                  wherever image networks go
    --network designed_rnn:FILE.json              language models of a recurrent cell

The design's JSON itself may stand for the file; so it does in the options of a run, which does not
need the file any more.

Without a file the networks are those of two published designs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from core.errors import UserError
from networks.designed.cell201 import Designed201
from networks.designed.convolutional import DesignedConvolutional
from networks.designed.macro import DesignedMacro
from networks.designed.reading import EXAMPLE, Part, is_file, read_design
from networks.designed.recurrent_cell import DesignedRecurrent
from networks.designed.registered import ZOO, build_registered, zoo_kind
from networks.space import choice

MOST_PARAMETERS = 300_000_000
"""More are surely a mistake, or meant to fill the memory."""

CELL_EXAMPLE = {
    "space": "nb201",
    "edges": {
        "0>1": "conv3x3", "0>2": "conv3x3", "1>2": "conv3x3",
        "0>3": "skip", "1>3": "conv1x1", "2>3": "conv3x3",
    },
}  # fmt: skip
"""The best of NAS-Bench-201 on the validation part of CIFAR-10."""
RECURRENT_EXAMPLE = {
    "space": "rnn",
    "nodes": [
        {"combination": "add", "activation": "tanh", "inputs": ["x", "h"]},
        {"combination": "multiply", "activation": "relu", "inputs": ["x", "h"]},
        {"combination": "multiply", "activation": "sigmoid", "inputs": [0, 1]},
    ],
    "inject": {"combination": "add", "activation": "relu", "node": 0},
    "cell": 1,
}
"""The example of Zoph and Le 2017, figure 5."""


@dataclass(frozen=True)
class DesignedImageConfig:
    """What a design of an image network leaves open."""

    design: str = EXAMPLE
    """JSON file, or JSON; or example: the best cell of NAS-Bench-201 on CIFAR-10."""
    num_classes: int = 10
    """K"""
    in_channels: int = 3
    """C of the images."""
    image_size: tuple[int, int] = (32, 32)
    """Height and width of the images, for networks of space zoo that depend on it."""
    channels: int = choice(0, (0, 8, 16, 32))
    """Of the first stage, for spaces nb201 and macro; 0 for the benchmark's, 16 and 32."""
    cells: int = choice(5, (1, 2, 3, 5))
    """Of each stage, for space nb201."""


@dataclass(frozen=True)
class DesignedLanguageConfig:
    """What a design of a recurrent cell leaves open."""

    design: str = EXAMPLE
    """JSON file, or JSON; or example: that of Zoph and Le 2017, figure 5, which is no good one."""
    vocabulary: int = 10_000
    """V, number of tokens."""
    context_length: int = 128
    """Tokens seen at once, for networks of space zoo that depend on it."""
    width: int = choice(200, (128, 200, 256, 512, 650))
    """D, features of the embedding and of every layer."""
    layers: int = choice(2, (1, 2, 3))
    """L, recurrent layers."""
    dropout: float = choice(0.0, (0.0, 0.2, 0.5))
    """Share of features dropped below, between and above the layers."""
    tied: bool = choice(False, (False, True))
    """Use the embedding as the matrix of the output too."""
    initial_range: float = 0.1
    """Weights start uniform in plus and minus this."""


Config = DesignedImageConfig | DesignedLanguageConfig

PRESETS: dict[str, Config] = {
    "designed": DesignedImageConfig(),
    "designed_rnn": DesignedLanguageConfig(),
}


def build(config: Config) -> nn.Module:
    """The network of a design in a file.

    Raises:
        UserError: the file cannot be read, or holds no design of this kind.
    """
    is_image = isinstance(config, DesignedImageConfig)
    design: Mapping[str, Any] = CELL_EXAMPLE if is_image else RECURRENT_EXAMPLE
    if config.design != EXAMPLE:
        design = read_design(config.design)
    if config_type(design) is not type(config):
        name, other = ("designed", "designed_rnn") if is_image else ("designed_rnn", "designed")
        space = design["space"]
        source = config.design if is_file(config.design) else "the design"
        raise UserError(f"{source} is of space {space}: not for {name}, but for {other}")
    sizes = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    del sizes["design"]
    return build_designed(design, **sizes)


def build_designed(design: Mapping[str, Any], **sizes: Any) -> nn.Module:
    """The network of a design, with fresh weights.

    Args:
        design: what `Space.design` gave.
        sizes: fields of `DesignedImageConfig` or `DesignedLanguageConfig`, such as num_classes.

    Raises:
        UserError: it is no design, or the network would have over 300 million parameters.
    """
    config = config_type(design)(**sizes)
    make = SPACES.get(design["space"], (None, _registered))[1]
    with torch.device("meta"):  # sizes without numbers
        count = sum(parameter.numel() for parameter in make(design, config).parameters())
    if count > MOST_PARAMETERS:
        raise UserError(f"the design has {count:,} parameters, more than {MOST_PARAMETERS:,}")
    return make(design, config)


def config_type(design: Mapping[str, Any]) -> type[Config]:
    """The config that says what a design leaves open. Raises UserError for what is no design."""
    space = Part(dict(design)).field("space").one_of((*SPACES, ZOO))
    if space != ZOO:
        return SPACES[space][0]
    return DesignedImageConfig if zoo_kind(design) == "image" else DesignedLanguageConfig


def _registered(design: Mapping[str, Any], config: Any) -> nn.Module:
    return build_registered(design, vars(config))


def _convolutional(design: Mapping[str, Any], config: Any) -> nn.Module:
    return DesignedConvolutional(design, config.in_channels, config.num_classes)


def _cell201(design: Mapping[str, Any], config: Any) -> nn.Module:
    channels = config.channels or 16
    return Designed201(design, config.in_channels, config.num_classes, channels, config.cells)


def _macro(design: Mapping[str, Any], config: Any) -> nn.Module:
    return DesignedMacro(design, config.in_channels, config.num_classes, config.channels or 32)


def _recurrent(design: Mapping[str, Any], config: Any) -> nn.Module:
    unused = ("design", "context_length")
    sizes = {name: value for name, value in vars(config).items() if name not in unused}
    return DesignedRecurrent(design, **sizes)


SPACES: dict[str, tuple[type[Config], Callable[[Mapping[str, Any], Any], nn.Module]]] = {
    "cnn": (DesignedImageConfig, _convolutional),
    "nb201": (DesignedImageConfig, _cell201),
    "macro": (DesignedImageConfig, _macro),
    "rnn": (DesignedLanguageConfig, _recurrent),
}
"""Space to the sizes that it leaves open, and what builds it."""
