"""What building an agent gives the commands that start it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core.agent import Agent, Task
from core.config import RunConfig
from core.files.checkpoint import Checkpoint
from core.learner import Arithmetic

Note = Callable[[str], None]
"""Says a line to the user."""


@dataclass(frozen=True)
class Built:
    """An agent ready for the trainer."""

    agent: Agent
    task: Task
    arithmetic: Arithmetic
    facts: dict[str, Any] = field(default_factory=dict)
    """Worth keeping in the run's meta.json, such as the parameter count."""
    run: RunConfig | None = None
    """How long and how often, where that depends on what was built, as epochs do on the data;
    None for what the user's options say."""
    begin: Callable[[Checkpoint], None] | None = None
    """Takes the network of another run; None for the agent's `start_from`."""
