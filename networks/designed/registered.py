"""Designs of the space "zoo": a network of the registry, and options that a search may choose.

{"space": "zoo", "network": "resnet20", "options": {"blocks": 2, "activation": "gelu"}}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from core.errors import UserError
from networks.designed.reading import SHOWN, Part
from networks.registry import DESIGNED, FAMILIES, Kind, build_network, find_family, network_config
from networks.space import search_space

ZOO = "zoo"
FROM_THE_DATA = ("num_classes", "in_channels", "image_size", "vocabulary", "context_length")


def zoo_kind(design: Mapping[str, Any]) -> Kind:
    """The kind of the network. Raises UserError for one that is not in the registry."""
    return find_family(_name(design)).kind


def _name(design: Mapping[str, Any]) -> str:
    known = [
        name
        for family in FAMILIES
        if family.kind in ("image", "language")
        for name in family.presets
        if name not in DESIGNED
    ]
    return Part(dict(design)).field("network").one_of(known)


def _chosen(name: str, choices: Mapping[str, tuple[Any, ...]], options: Part) -> dict[str, Any]:
    """Options that were checked. Raises UserError."""
    if not isinstance(options.value, dict):
        raise options.wrong("an object")
    found = {}
    for field, value in options.value.items():
        if field not in choices:
            shown = repr(field)[:SHOWN]
            raise UserError(
                f"design.options: {name} has no choice {shown} (it has: {', '.join(choices)})"
            )
        value = tuple(value) if isinstance(value, list) else value
        # A bool equals a number, and is none.
        if not any(value == known and type(value) is type(known) for known in choices[field]):
            raise options.field(field).wrong(f"one of {', '.join(map(str, choices[field]))}")
        found[field] = value
    return found


def read_options(design: Mapping[str, Any]) -> dict[str, Any]:
    """Options that a design chose. Raises UserError for what is no design of this space."""
    name = _name(design)
    choices = search_space(type(network_config(name)))
    return _chosen(name, choices, Part(dict(design)).field("options"))


def build_registered(design: Mapping[str, Any], sizes: Mapping[str, Any]) -> nn.Module:
    """The network of such a design.

    Args:
        design: of space zoo.
        sizes: what the data decide, such as num_classes; fields that the network does not have
            are left out.

    Raises:
        UserError: there is no such network, or an option that a search may not choose.
    """
    name = _name(design)
    config = type(network_config(name))
    changes = read_options(design)
    fields = {field.name for field in dataclasses.fields(config)}
    given = {key: sizes[key] for key in FROM_THE_DATA if key in fields and key in sizes}
    try:
        return build_network(name, **(changes | given))
    except (ArithmeticError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"network {name} cannot be built of this design: {reason}") from error
