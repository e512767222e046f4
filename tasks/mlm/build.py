"""Puts a masked language model together from its options."""

from __future__ import annotations

from tasks.building import SupervisedTask
from tasks.mlm.task import MaskedLanguageModelling

_task = SupervisedTask(MaskedLanguageModelling)
build, describe, score = _task.build, _task.describe, _task.score
