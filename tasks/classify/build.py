"""Puts image classification together from its options."""

from __future__ import annotations

from tasks.building import SupervisedTask
from tasks.classify.task import Classification

_task = SupervisedTask(Classification)
build, describe, score = _task.build, _task.describe, _task.score
