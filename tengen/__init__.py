"""The launcher, and the functions for Python: see docs/python.md.

The application's folders have plain names (agents, envs, core) that other packages may use too, so
they are put first on the path and live inside this package in a wheel.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

__all__ = ["Policy", "Report", "Run", "UserError", "evaluate", "load", "main", "resume", "train"]

_here = Path(__file__).resolve().parent
_application = _here / "_app" if (_here / "_app").is_dir() else _here.parent
if sys.path[:1] != [str(_application)]:
    sys.path.insert(0, str(_application))


def main() -> int:
    """Run the command line; return the exit code."""
    from commands.dispatch import main as dispatch

    return dispatch()


def __getattr__(name: str) -> Any:
    """The functions for Python, imported when they are first used: the command line is quick."""
    if name not in __all__:
        raise AttributeError(f"module 'tengen' has no attribute {name!r}")
    from commands import api

    return getattr(api, name)
