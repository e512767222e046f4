"""`tengen resume RUN`: go on with a run; its folder is all that is needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.registry import AgentEntry
from commands.options import HELP, ResumeOptions, parse_overrides
from core.errors import UserError

USAGE = """usage: tengen resume RUN [options]

Goes on exactly where the run was saved. Any option of `tengen train` may follow to change it,
if a resume may change it, such as --total-steps or --device; and:

  --checkpoint NAME   from this checkpoint of the run instead of the newest
  --fresh-replay      with an empty replay memory
"""


def main(argv: Sequence[str]) -> int:
    """Resume; return the exit code."""
    if not argv or argv[0] in HELP:
        sys.stdout.write(USAGE)
        return 0
    if argv[0].startswith("-"):
        raise UserError("name the run folder first: tengen resume RUN [options]")
    from commands.session import resume_training

    def parse(entry: AgentEntry, saved: Any) -> tuple[Any, ResumeOptions]:
        return parse_overrides(saved, ResumeOptions(), argv[1:], "tengen resume RUN")

    return resume_training(Path(argv[0]), parse)
