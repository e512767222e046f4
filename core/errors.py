"""Errors meant for the user, and suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""In what torch says when an allocation fails, on a processor or a GPU."""


class UserError(Exception):
    """One line for the user: what was wrong, where, and what to do about it."""

    told = False
    """The user knows already, from another process of the same run."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, or "" if none is close."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, of NumPy, of torch or of Python itself."""
    said = isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)
    return said or isinstance(error, MemoryError)
