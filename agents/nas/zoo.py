"""The registered networks themselves as a space: family, depth, width, activation, and so on.

What may be chosen of a network is what its config marks (`networks/space.py`), up to sizes that
train on a processor. A design has a decision for every such field of any of the networks; those
that the chosen network does not have can only be the first option, and mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.errors import UserError
from envs.architecture.space import Choice, Stage, Tokens
from networks.registry import network_config
from networks.space import search_space

NETWORKS = {
    "image": ("lenet5", "resnet20", "highway"),
    "language": ("lstm_small", "gpt", "gpt2_tiny"),
}
"""Kind to the presets that stand for a family each."""
LARGEST = {"width": 256, "widths": 64, "layers": 6, "depth": 20, "blocks": 5}
"""Of fields that are sizes; larger options are left out."""
LEFT_OUT = ("output",)
"""LeNet's other output has codes for few numbers of classes."""


class Zoo:
    """Networks of one kind; the space "zoo"."""

    name = "zoo"

    def __init__(self, kind: str = "image") -> None:
        """Raises UserError unless the kind is image or language."""
        if kind not in NETWORKS:
            raise UserError(f"kind of space zoo must be image or language, got {kind!r}")
        self.networks = NETWORKS[kind]
        self.allowed = {name: _choices(name) for name in self.networks}
        options: dict[str, list[Any]] = {}
        for choices in self.allowed.values():
            for field, values in choices.items():
                known = options.setdefault(field, [])
                known += [value for value in values if value not in known]
        self.fields = tuple(options)
        self.stages: tuple[Stage, ...] = (
            Choice("network", self.networks),
            *(Choice(field, tuple(values)) for field, values in options.items()),
        )
        self.lengths: tuple[int, ...] = (len(self.stages),)

    def legal(self, tokens: Sequence[int]) -> np.ndarray:
        """Options of the next decision that the network chosen has, bool [options]."""
        options = self.stages[len(tokens)].options
        legal = np.ones(len(options), dtype=np.bool_)
        if tokens:
            network = self.networks[tokens[0]]
            field = self.fields[len(tokens) - 1]
            values = self.allowed[network].get(field, options[:1])
            legal = np.array([option in values for option in options])
            if field == "heads" and field in self.allowed[network]:
                at = 1 + self.fields.index("width")
                width = self.stages[at].options[tokens[at]]
                legal &= np.array([width % heads == 0 for heads in options])
        return legal

    def canonical(self, tokens: Sequence[int]) -> Tokens:
        """Itself: what the network does not have is fixed, so that different tokens always mean
        different options."""
        return tuple(tokens)

    def design(self, tokens: Sequence[int]) -> dict[str, Any]:
        """The network's name, and the options that it has."""
        network = self.networks[tokens[0]]
        options = {
            stage.name: stage.options[token]
            for stage, token in zip(self.stages[1:], tokens[1:], strict=True)
            if stage.name in self.allowed[network]
        }
        as_json = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in options.items()
        }
        return {"space": self.name, "network": network, "options": as_json}


def _choices(network: str) -> dict[str, tuple[Any, ...]]:
    """Fields of a network that may be chosen, and the options that are small enough."""
    found = {}
    for field, values in search_space(type(network_config(network))).items():
        if field not in LEFT_OUT:
            found[field] = tuple(value for value in values if _is_small(field, value))
    return found


def _is_small(field: str, value: Any) -> bool:
    sizes = value if isinstance(value, tuple) else (value,)
    return field not in LARGEST or max(sizes) <= LARGEST[field]
