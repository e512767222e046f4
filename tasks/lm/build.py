"""Puts a language model together from its options."""

from __future__ import annotations

from tasks.building import SupervisedTask
from tasks.lm.task import LanguageModelling

_task = SupervisedTask(LanguageModelling)
build, describe, score = _task.build, _task.describe, _task.score
