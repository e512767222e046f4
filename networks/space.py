"""A network's options as a space to search: the fields of its config say what may be chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any


def choice(default: Any, choices: Sequence[Any]) -> Any:
    """A field of a network's config that a search may set to any of `choices`."""
    return dataclasses.field(default=default, metadata={"choices": tuple(choices)})


def search_space(config_type: Any) -> dict[str, tuple[Any, ...]]:
    """What may be chosen: field names to values, in the order of the config."""
    return {
        field.name: field.metadata["choices"]
        for field in dataclasses.fields(config_type)
        if "choices" in field.metadata
    }
