"""Designs from files that anybody may have written: bounded, checked, and refused with one line."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from core.errors import UserError, did_you_mean
from core.files.atomic import read_bounded

LARGEST_FILE = 1 << 20
"""Bytes; the deepest of ours are some ten thousand."""
SHOWN = 40
"""Characters of a wrong value that an error shows."""


EXAMPLE = "example"
"""In the place of a file: a published design."""


def is_file(text: str) -> bool:
    """Whether this names a file: not nothing, not the example, and no JSON object."""
    return text not in ("", EXAMPLE) and not text.startswith("{")


def read_design(source: str) -> dict[str, Any]:
    """The design in a JSON file; what is in it is checked by those that build it.

    Args:
        source: the file, or the JSON itself.

    Raises:
        UserError: there is no such regular file, it is too large, or no JSON object.
    """
    data: str | bytes = source
    path = "the design"
    if is_file(source):
        path = source
        try:
            data = read_bounded(Path(source), LARGEST_FILE)
        except OSError as error:
            why = error.strerror or error
            raise UserError(f"cannot read a design from {source}: {why}") from error
    try:
        design = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise UserError(f"{path} is no design: no JSON ({reason})") from error
    if not isinstance(design, dict):
        raise UserError(f"{path} is no design: it must be a JSON object with a field 'space'")
    return design


class Part:
    """A piece of a design that knows where it stands, so that errors can say it."""

    def __init__(self, value: Any, where: str = "design") -> None:
        self.value = value
        self.where = where

    def wrong(self, what: str) -> UserError:
        """The error that this piece must be something else."""
        shown = repr(self.value)
        shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
        return UserError(f"{self.where} must be {what}, got {shown}")

    def field(self, name: str) -> Part:
        """A field of an object. Raises UserError if it is missing."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        if name not in self.value:
            raise UserError(f"{self.where} has no field {name!r}")
        return Part(self.value[name], f"{self.where}.{name}")

    def items(self, least: int, most: int) -> list[Part]:
        """The members of a list. Raises UserError for a longer or shorter one."""
        if not isinstance(self.value, list | tuple) or not least <= len(self.value) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            raise self.wrong(f"a list of {count}")
        return [Part(value, f"{self.where}[{i}]") for i, value in enumerate(self.value)]

    def integer(self, least: int, most: int) -> int:
        """A whole number within these bounds. Raises UserError."""
        value = self.value
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(f"a whole number from {least} to {most}")
        return value

    def one_of(self, known: Collection[str]) -> str:
        """One of these texts. Raises UserError."""
        value = self.value
        if not isinstance(value, str) or value not in known:
            near = did_you_mean(value[:SHOWN], known) if isinstance(value, str) else ""
            raise self.wrong(f"one of {', '.join(known)}{near}")
        return value
