"""What a path on the command line leads to: a run, its options, one of its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.registry import AGENTS, AgentEntry, load_object
from core.config import from_toml
from core.errors import UserError
from core.files.run_folder import RunFolder


def located(path: str) -> Path:
    """A folder of the user's, or one that comes with the application, such as pretrained/NAME."""
    shipped = Path(__file__).resolve().parents[1] / path
    return shipped if not Path(path).exists() and shipped.is_dir() else Path(path)


def open_run(path: str) -> RunFolder:
    """A run of the user's, or one that comes with the application.

    Raises:
        UserError: there is no run; see `RunFolder.open`.
    """
    return RunFolder.open(located(path))


def saved_config(folder: RunFolder) -> tuple[AgentEntry, Any]:
    """The agent and the options of a run.

    Raises:
        UserError: the folder's files are damaged or name an unknown agent.
    """
    name = folder.read_meta().get("agent")
    if name not in AGENTS:
        raise UserError(f"{folder.path}/meta.json names no agent of this suite: {name!r}")
    entry = AGENTS[name]
    config_type = load_object(entry.config)
    return entry, from_toml(config_type, folder.read_config(), f"{folder.path}/config.toml")


def checkpoint_path(folder: RunFolder, name: str) -> Path:
    """The checkpoint of that name, `newest` or `best`; where it is empty the best if one is marked.

    Raises:
        UserError: the best was asked for and none is marked.
    """
    from core.files.checkpoint import best

    checkpoints = folder.checkpoints
    if name in ("", "best"):
        marked = best(checkpoints)
        if marked is not None:
            return marked
        if name == "best":
            raise UserError(
                f"{folder.path} has no best checkpoint yet: none was evaluated; use "
                f"--checkpoint newest"
            )
    return checkpoints if name in ("", "newest") else checkpoints / name
