"""Score a run of a supervised task on the part of its data that training never saw."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    from commands.evaluate import EvaluateOptions
    from core.files.run_folder import RunFolder
    from tasks.problem import Scored

FOR_EPISODES = (
    "episodes", "lanes", "max_steps", "render", "video", "env", "env_kwargs", "protocol", "trust",
)  # fmt: skip
"""Options of `tengen evaluate` that mean nothing here."""
FRAMES_PER_SECOND = 15
"""Of a film."""


def is_held_out_run(path: str) -> bool:
    """Whether a path is a run that is scored on a test split."""
    from agents.registry import AGENTS
    from commands.saved import open_run

    if path.endswith(".zip"):
        return False
    entry = AGENTS.get(str(open_run(path).read_meta().get("agent")))
    return entry is not None and entry.scored_by == "test split"


def score_held_out(path: str, options: EvaluateOptions) -> str:
    """Score a run, write JSON and pictures beside it, and return what the user is told.

    Raises:
        UserError: the data are not here or others now, or the checkpoint is damaged.
    """
    from agents.registry import load_object
    from commands.saved import checkpoint_path, open_run, saved_config
    from core.files.checkpoint import load
    from core.machine.interrupt import Interrupt
    from networks.registry import shown_name

    for name in FOR_EPISODES:
        if getattr(options, name) != getattr(type(options)(), name):
            raise UserError(
                f"--{name.replace('_', '-')} is for runs that play episodes; {path} is scored on "
                f"its test split"
            )
    folder = open_run(path)
    entry, config = saved_config(folder)
    loaded = load(checkpoint_path(folder, options.checkpoint), keys=entry.scored_parts)
    sys.stderr.write(f"{path}: scoring on the test split of {config.env}\n")
    with Interrupt() as interrupt:
        module = load_object(entry.build_module)
        scored = module.score(config, loaded.state, options.device, interrupt)
    if scored is None:
        raise KeyboardInterrupt
    facts = {
        "run": path,
        "task": entry.name,
        "environment": config.env,
        "network": config.network,
        "agent_steps": loaded.step,
        "scores": scored.scores,
        **scored.details,
    }
    written = _write(folder, options, facts, scored)
    lines = [
        f"{path} at {loaded.step:,} {entry.steps}: {entry.name}, {shown_name(config.network)}, "
        f"{config.env}"
    ]
    lines += [f"  {line}" for line in scored.lines]
    return "\n".join(lines + [f"  {name}: {place}" for name, place in written.items()])


def _write(
    folder: RunFolder, options: EvaluateOptions, facts: dict[str, Any], scored: Scored
) -> dict[str, str]:
    """Keep the results beside the run, or where --out says; names and places of the pictures."""
    from commands.scores import SCORES_FILE, keep
    from core.report.video import write_video
    from tasks.pictures import write_png

    default = folder.path / SCORES_FILE
    beside = Path(options.out) if options.out else default
    # One file may hold the results of several runs and of several of their checkpoints.
    run = f"-{re.sub(r'[^A-Za-z0-9._-]+', '-', facts['run'])}" if options.out else ""
    stem = f"{beside.stem}{run}-step{facts['agent_steps']}"
    written: dict[str, str] = {}
    try:
        for name, picture in scored.pictures.items():
            place = beside.with_name(f"{stem}-{name}.png")
            write_png(place, picture)
            written[name] = str(place)
        if scored.film:
            place = beside.with_name(f"{stem}-film.gif")
            write_video(scored.film, place, FRAMES_PER_SECOND)
            written["film"] = str(place)
    except OSError as error:
        sys.stderr.write(f"tengen: warning: no pictures beside {beside}: {error}\n")
    keep({**facts, "pictures": written}, default, options.out)
    return written
