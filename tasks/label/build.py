"""Puts the labelling of texts together from its options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.built import Built, Note
from core.errors import UserError
from core.files import checkpoint
from core.learner import Arithmetic
from tasks.building import SupervisedTask
from tasks.label.config import LabelConfig
from tasks.label.task import Labelling
from tasks.supervised import Supervised

_task = SupervisedTask(Labelling)
describe, score = _task.describe, _task.score


def build(
    config: LabelConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """As for any task. Raises UserError, too, where --initial learned other tokens."""
    built = _task.build(config, folder, note, arithmetic)
    initial = Path(config.run.initial)
    if arithmetic is None and config.run.initial and initial.is_dir():
        assert isinstance(built.agent, Supervised)
        require_same_tokens(initial, config, built.agent.problem.identity())
    return built


def require_same_tokens(initial: Path, config: LabelConfig, identity: Mapping[str, Any]) -> None:
    """Raise UserError where the network to begin with learned other tokens: where they are as many
    they would fit, and mean something else."""
    learned = checkpoint.load(initial, keys=["problem"]).state.get("problem")
    if learned is None:  # no run of a task: its network will not fit
        return
    same_text = learned.get("text", learned.get("data")) == identity["text"]
    if learned.get("vocabulary") != identity["vocabulary"] or not (
        same_text or config.tokenizer == "bytes"
    ):
        raise UserError(
            f"{initial} learned other tokens: give its --data as --text, and its --tokenizer and "
            f"--vocabulary"
        )
