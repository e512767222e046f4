"""`tengen train AGENT`: train an agent, or a network on a supervised task, in a new run folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agents.registry import AGENTS, AgentEntry
from commands.options import HELP, default_preset, parse_training, print_tables
from core.errors import UserError, did_you_mean
from core.machine import ranks

if TYPE_CHECKING:
    from core.files.run_folder import RunFolder
    from core.report.progress import Callback

PIPELINE = "alphago"
"""Not an agent: agents one after the other."""


def main(argv: Sequence[str]) -> int:
    """Train; return the exit code."""
    if not argv or argv[0] in HELP:
        print_agents()
        return 0
    if argv[0] == "--resume":
        from commands.resume import main as resume

        return resume(argv[1:])
    if argv[0] == PIPELINE:
        from commands.alphago import main as stages

        return stages(argv[1:])
    train(argv[0], argv[1:])
    return 0


def train(name: str, argv: Sequence[str], callback: Callback | None = None) -> RunFolder | None:
    """Train an agent with the options of a command line; return the run's folder, None after a
    dry run.

    Raises:
        UserError: one line; `--help` prints and exits instead.
    """
    with ranks.joined():
        return _train(name, argv, callback)


def _train(name: str, argv: Sequence[str], callback: Callback | None) -> RunFolder | None:
    if name not in AGENTS:
        raise UserError(
            f"there is no agent {name!r}{did_you_mean(name, AGENTS)} (known: {', '.join(AGENTS)})"
        )
    entry = AGENTS[name]
    config, options = parse_training(entry, argv)
    from commands.session import show_training, start_training
    from core.report.progress import Progress

    Progress().note(settings_note(entry, config, options.preset))
    if options.dry_run:
        show_training(entry, config)
        return None
    command = ["tengen", "train", name, *argv]
    return start_training(entry, config, options.preset, command, callback)


def settings_note(entry: AgentEntry, config: Any, preset: str) -> str:
    """One line that says which settings were taken, and why."""
    default = preset == default_preset(entry, config.env)
    why = f"the default for {config.env}; others: --preset NAME" if default else "as named"
    return f"settings: preset {preset} ({why})"


def print_agents() -> None:
    """The agents and the supervised tasks, under a heading each."""
    tables: dict[str, dict[str, str]] = {"agents": {}, "supervised tasks": {}}
    for name, entry in AGENTS.items():
        title = "supervised tasks" if entry.build_module.startswith("tasks.") else "agents"
        tables[title][name] = entry.summary
    tables["agents"][PIPELINE] = "AlphaGo's stages one after the other: policy, rl, value"
    print_tables(tables, "tengen train AGENT [options]   (or --resume RUN)")
