"""Small data of every kind, and the real Trainer in a real run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agents.registry import AGENTS, load_object
from core import checkpoint
from core.config import check
from core.learner import Arithmetic
from core.progress import Progress
from core.run_folder import RunFolder
from core.trainer import Trainer

MakeTrainer = Callable[..., Trainer]

QUIET = {"device": "cpu", "threads": 1, "precision": "fp32", "progress": False, "video": False}
WORDS = ["the", "cat", "dog", "sat", "ran", "under", "mat", "and", "then", "was", "very", "old"]


@pytest.fixture
def make_trainer(tmp_path: Path) -> MakeTrainer:
    """Makes a trainer from a task's name, options and run options; a folder is used once, or
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
        built = load_object(AGENTS[name].build_module).build(
            config, run_folder.replay, lambda text: None, Arithmetic()
        )
        assert built.run is not None
        trainer = Trainer(
            built.agent,
            built.task,
            built.run,
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


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 images of 12x12 pixels in two classes: a bright left half, a bright right half."""
    folder = tmp_path_factory.mktemp("images") / "halves"
    random = np.random.default_rng(0)
    for name, columns in (("left", slice(0, 6)), ("right", slice(6, 12))):
        (folder / name).mkdir(parents=True)
        for number in range(50):
            pixels = random.integers(0, 60, (12, 12), dtype=np.uint8)
            pixels[:, columns] += 150
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some thousand characters of twelve words at random."""
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(WORDS, 8)) for _ in range(150)]
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def pair_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """300 sentences, and the same in capitals."""
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(WORDS, random.integers(2, 6))) for _ in range(300)]
    folder = tmp_path_factory.mktemp("pairs")
    small, capital = folder / "words.low", folder / "words.cap"
    small.write_text("\n".join(lines) + "\n")
    capital.write_text("\n".join(lines).upper() + "\n")
    return small, capital
