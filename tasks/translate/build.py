"""Puts translation together from its options."""

from __future__ import annotations

from tasks.building import SupervisedTask
from tasks.translate.task import Translation

_task = SupervisedTask(Translation)
build, describe, score = _task.build, _task.describe, _task.score
