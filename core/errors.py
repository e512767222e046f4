"""Errors meant for the user, and suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """One line for the user: what was wrong, where, and what to do about it."""

    told = False
    """The user knows already, from another process of the same run."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, or "" if none is close."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""
