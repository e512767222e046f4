"""Convolutional networks with skip connections: Zoph and Le 2017, arXiv 1611.01578, 3.1 to 3.3.

A layer is a filter's height and width, a number of filters, strides if they are chosen, and, at an
anchor point, which layers before are its inputs. What is done with several inputs, or with none,
is said in `networks/designed/convolutional.py`.

The paper has heights and widths of 1, 3, 5, 7, filters of 24, 36, 48, 64, and strides of 1, or
chosen from 1, 2, 3 in each direction. Depth begins with 6 layers and grows by 2 (section 4.1):
that is ``growth=(6, 2)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import UserError
from envs.architecture.space import Anchor, Choice, Stage, Tokens

MOST_LAYERS = 60
"""Above the 39 of the paper."""
LARGEST_SIDE, MOST_FILTERS, LARGEST_STRIDE = 15, 1024, 8


class Convolutional:
    """Designs of so many layers; the space "cnn"."""

    name = "cnn"

    def __init__(
        self,
        layers: int = 6,
        heights: Sequence[int] = (1, 3, 5, 7),
        widths: Sequence[int] = (1, 3, 5, 7),
        filters: Sequence[int] = (24, 36, 48, 64),
        strides: Sequence[int] = (),
        skips: bool = True,
        growth: Sequence[int] = (),
    ) -> None:
        """Args:
        layers: of the deepest designs.
        heights: odd.
        widths: odd.
        filters: numbers of them.
        strides: to choose from in each direction; none: a stride of 1 everywhere.
        skips: whether layers choose their inputs; else each takes what comes before it.
        growth: layers of the shallowest designs, and how many more each greater depth has; none:
            all have one depth.

        Raises:
            UserError: an option that cannot be.
        """
        _require("layers", [layers], MOST_LAYERS)
        _require("heights", heights, LARGEST_SIDE, odd=True)
        _require("widths", widths, LARGEST_SIDE, odd=True)
        _require("filters", filters, MOST_FILTERS)
        if strides:
            _require("strides", strides, LARGEST_STRIDE)
        depths = [layers]
        if growth:
            if len(growth) != 2:
                raise UserError(
                    f"growth of space cnn must be layers at first and layers added, such as 6,2; "
                    f"got {tuple(growth)}"
                )
            _require("growth", [growth[0]], layers)
            _require("growth", [growth[1]], MOST_LAYERS)
            depths = [*range(growth[0], layers, growth[1]), layers]
        self.skips = skips
        self.depth = layers
        self.side = max(heights), max(widths)
        self.most_filters = max(filters)
        self.kinds = [
            Choice("filter height", tuple(heights)),
            Choice("filter width", tuple(widths)),
            Choice("filters", tuple(filters)),
        ]
        if strides:
            self.kinds += [Choice(f"stride {side}", tuple(strides)) for side in ("height", "width")]
        self.stages: tuple[Stage, ...] = tuple(
            stage for number in range(layers) for stage in self._stages_of_layer(number)
        )
        self.lengths = tuple(self._start(depth) for depth in depths)

    def _stages_of_layer(self, number: int) -> list[Stage]:
        anchors = [Anchor("inputs", number)] if self.skips and number else []
        return [*self.kinds, *anchors]

    def _start(self, number: int) -> int:
        """Tokens before the layer of this number, counted from 0."""
        anchors = number * (number - 1) // 2 if self.skips else 0
        return number * len(self.kinds) + anchors

    def legal(self, tokens: Sequence[int]) -> np.ndarray:
        """Every option, always: bool [options]."""
        for number in range(MOST_LAYERS):
            at = len(tokens) - self._start(number)
            if at < len(self.kinds):
                return np.ones(len(self.kinds[at].options), dtype=np.bool_)
        raise ValueError(f"{len(tokens)} tokens are more than a design has")

    def layers(self, tokens: Sequence[int]) -> list[Layer]:
        """A whole design, layer by layer."""
        found: list[Layer] = []
        while self._start(len(found)) < len(tokens):
            number = len(found)
            at = self._start(number)
            anchor = at + len(self.kinds)
            inputs = [number - 1] if number else []
            if self.skips:
                inputs = [i for i in range(number) if tokens[anchor + i]]
            found.append(Layer(tuple(tokens[at:anchor]), tuple(inputs)))
        return found

    def canonical(self, tokens: Sequence[int]) -> Tokens:
        """The layers in an order that depends on what they are and how they are connected alone.

        Equal results are always the same network, but for the order of channels. Different ones
        may be the same, too, where layers differ only in what is more than one connection away on
        a way that goes both up and down; other ways to compute the same are not told either.
        """
        if not self.skips:
            return tuple(tokens)
        layers = self.layers(tokens)
        order = canonical_order(layers)
        place = {number: new for new, number in enumerate(order)}
        found: list[int] = []
        for new, number in enumerate(order):
            inputs = {place[i] for i in layers[number].inputs}
            found += [*layers[number].tokens, *(int(i in inputs) for i in range(new))]
        return tuple(found)

    def design(self, tokens: Sequence[int]) -> dict[str, Any]:
        """Layers in order; "inputs" are layers counted from 1, and none where it has no input."""
        layers = []
        for layer in self.layers(tokens):
            chosen = [
                kind.options[token] for kind, token in zip(self.kinds, layer.tokens, strict=True)
            ]
            layers.append(
                {
                    "height": chosen[0],
                    "width": chosen[1],
                    "filters": chosen[2],
                    "stride": chosen[3:] or [1, 1],
                    "inputs": [i + 1 for i in layer.inputs],
                }
            )
        return {"space": self.name, "layers": layers}


@dataclass(frozen=True)
class Layer:
    """What was decided about one layer."""

    tokens: Tokens
    """Without the anchor's."""
    inputs: tuple[int, ...]
    """Layers, counted from 0."""


def canonical_order(layers: Sequence[Layer]) -> list[int]:
    """Layers by number, each after its inputs, in an order that their first numbers decide only
    between those that nothing else tells apart."""
    names: list[str] = []  # of all that a layer depends on
    for layer in layers:
        names.append(_digest(layer.tokens, sorted(names[i] for i in layer.inputs)))
    users: list[list[int]] = [[] for _ in layers]
    for number, layer in enumerate(layers):
        for i in layer.inputs:
            users[i].append(number)
    full = [""] * len(layers)  # of all that depends on it, too
    for number in reversed(range(len(layers))):
        full[number] = _digest(names[number], sorted(full[user] for user in users[number]))
    place: dict[int, int] = {}
    while len(place) < len(layers):
        ready = [
            (full[number], sorted(place[i] for i in layer.inputs), number)
            for number, layer in enumerate(layers)
            if number not in place and all(i in place for i in layer.inputs)
        ]
        place[min(ready)[-1]] = len(place)
    return list(place)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _require(option: str, values: Sequence[int], most: int, odd: bool = False) -> None:
    """Raise UserError unless these are different whole numbers from 1 to `most`."""
    kind = "odd" if odd else "whole"
    good = all(isinstance(n, int) and 1 <= n <= most and (n % 2 or not odd) for n in values)
    if not good or not values or len(set(values)) < len(values):
        raise UserError(
            f"{option} of space cnn must be different {kind} numbers from 1 to {most}, got "
            f"{', '.join(map(str, values)) or 'none'}"
        )
