"""What holds for every test: properties are tested in the same way on every machine, and a run is
the real Trainer in a real run folder."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from core.trainer import Trainer

# Each worker has a core: torch's threads would spin on the other worker's, for more time than the
# tests take. Libraries read this when they are loaded, in processes that tests start too.
os.environ["OMP_NUM_THREADS"] = "1"

# Compiling kernels makes millions of objects that live; to walk over them again and again costs a
# twelfth of it.
gc.set_threshold(100_000, 50, 100)

# Machines differ by a factor of ten, so no test is refused for its time; the same examples each
# time, so a red run can be had again. Look for new ones with --hypothesis-profile=explore.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("suite"), derandomize=False)
settings.load_profile("suite")

QUIET = {"device": "cpu", "threads": 1, "precision": "fp32", "progress": False, "video": False}


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """Makes a trainer from the name of an agent or task, options and run options; a folder is used
    once, or again to resume from its newest checkpoint."""
    from agents.registry import AGENTS, load_object
    from core.config import check
    from core.files import checkpoint
    from core.files.run_folder import RunFolder
    from core.learner import Arithmetic
    from core.report.progress import Progress
    from core.trainer import Trainer

    def make(name: str, config: Any, folder: str = "run", **run: Any) -> Trainer:
        config = replace(config, run=replace(config.run, **QUIET, **run))
        check(config)
        path = tmp_path / folder
        exists = path.exists()
        if exists:
            run_folder = RunFolder.open(path)
        else:
            run_folder = RunFolder.create(tmp_path, name, config.env, config.run.seed, path)
        built = load_object(AGENTS[name].build_module).build(
            config, run_folder.replay, lambda text: None, Arithmetic()
        )
        trainer = Trainer(
            built.agent,
            built.task,
            built.run or config.run,
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
