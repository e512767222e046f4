"""All spaces by name; nothing is imported before one is chosen."""

from __future__ import annotations

import importlib
from typing import Any

from core.errors import UserError, did_you_mean
from envs.architecture.space import Space

SPACES = {
    "nb201": "envs.architecture.cells:Cell201",
    "macro": "envs.architecture.cells:Chain",
    "cnn": "envs.architecture.convolutional:Convolutional",
    "rnn": "envs.architecture.recurrent:RecurrentCell",
}
"""Name to 'module:class'."""


def make_space(name: str, **options: Any) -> Space:
    """The space of this name, with options of its own such as ``layers``.

    Raises:
        UserError: there is none of this name.
    """
    if name not in SPACES:
        raise UserError(
            f"there is no space of designs {name!r}{did_you_mean(name, SPACES)} (known: "
            f"{', '.join(SPACES)})"
        )
    module, _, kind = SPACES[name].partition(":")
    space: Space = getattr(importlib.import_module(module), kind)(**options)
    return space
