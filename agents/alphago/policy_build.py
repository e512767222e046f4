"""Puts the supervised policy together from its options."""

from __future__ import annotations

from agents.alphago.policy import MovePrediction
from tasks.building import SupervisedTask

_task = SupervisedTask(MovePrediction)
build, describe, score = _task.build, _task.describe, _task.score
