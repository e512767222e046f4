"""Puts the value network together from its options."""

from __future__ import annotations

from agents.alphago.value import Outcomes
from tasks.building import SupervisedTask

_task = SupervisedTask(Outcomes)
build, describe, score = _task.build, _task.describe, _task.score
