"""The launcher. The application's folders have plain names (agents, envs, core) that other
packages may use too, so they are put first on the path and live inside this package in a wheel.
"""

from __future__ import annotations

import sys
from pathlib import Path

_here = Path(__file__).resolve().parent
_application = _here / "_app" if (_here / "_app").is_dir() else _here.parent
if sys.path[:1] != [str(_application)]:
    sys.path.insert(0, str(_application))


def main() -> int:
    """Run the command line; return the exit code."""
    from commands.dispatch import main as dispatch

    return dispatch()
