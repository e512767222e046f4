"""Runs an agent in the real Trainer and a real run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.registry import AGENTS, load_object
from core import checkpoint
from core.config import check
from core.learner import Arithmetic
from core.progress import Progress
from core.run_folder import RunFolder
from core.trainer import Trainer

MakeTrainer = Callable[..., Trainer]

QUIET = {"device": "cpu", "threads": 1, "precision": "fp32", "progress": False, "video": False}


@pytest.fixture
def make_trainer(tmp_path: Path) -> MakeTrainer:
    """Makes a trainer from an agent's name, options and run options; a folder is used once, or
    again to resume from its newest checkpoint."""

    def make(name: str, config: Any, folder: str = "run", **run: Any) -> Trainer:
        config = replace(config, run=replace(config.run, **QUIET, **run))
        check(config)
        path = tmp_path / folder
        exists = path.exists()
        if exists:
            run_folder = RunFolder.open(path)
        else:
            run_folder = RunFolder.create(tmp_path, name, config.env, config.run.seed, path)
        entry = AGENTS[name]
        built = load_object(entry.build_module).build(
            config, run_folder.replay, lambda text: None, Arithmetic()
        )
        trainer = Trainer(
            built.agent,
            built.task,
            config.run,
            run_folder,
            identity={"agent": name, "environment": config.env},
            hyperparameters={},
            progress=Progress(enabled=False),
            arithmetic=built.arithmetic,
        )
        if exists:
            trainer.restore(checkpoint.load(run_folder.checkpoints).state)
        return trainer

    return make
