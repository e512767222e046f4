"""`tengen export`: a trained agent without its training, small enough to share.

What comes out is a run folder with one checkpoint that holds the weights only, so `tengen
evaluate` scores it like any other run. It cannot be resumed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from commands.options import parse_dataclass, positional
from core.errors import UserError


@dataclass(frozen=True)
class ExportOptions:
    """Copy the weights and options of a run, and nothing else, into a new folder."""

    run: str = positional("")
    """Run folder."""
    out: str = positional("")
    """New folder."""
    checkpoint: str = ""
    """Name of a checkpoint, 'best' or 'newest'; default: best where one is marked."""


def main(argv: Sequence[str]) -> int:
    """Export one run; return the exit code."""
    options = parse_dataclass(ExportOptions, argv, prog="tengen export")
    if not options.out:
        raise UserError("name a run and a new folder: tengen export RUN OUT")
    from commands.evaluate import checkpoint_path
    from commands.session import saved_config
    from core.config import to_toml
    from core.files import checkpoint
    from core.files.run_folder import RunFolder

    source = RunFolder.open(Path(options.run))
    entry, config = saved_config(source)
    loaded = checkpoint.load(checkpoint_path(source, options.checkpoint), keys=entry.scored_parts)
    target = RunFolder.create(Path(), entry.name, "", 0, Path(options.out))
    # Where the run lay is nobody else's business.
    target.write_config(to_toml(replace(config, run=replace(config.run, run_dir=""))))
    meta = source.read_meta()
    kept = ("agent", "environment", "seed", "preset", "versions", "parameters")
    target.write_meta(
        {name: meta[name] for name in kept if name in meta}
        | {"exported_at_agent_steps": loaded.step}
    )
    checkpoint.save(target.checkpoints, loaded.step, loaded.state, identity=loaded.identity)
    target.set_status("finished", agent_steps=loaded.step)
    sys.stdout.write(
        f"{options.out}: the weights at {loaded.step:,} agent steps; score them with: "
        f"{entry.advice(options.out)}\n"
    )
    return 0
