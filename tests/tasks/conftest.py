"""Small data of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WORDS = ["the", "cat", "dog", "sat", "ran", "under", "mat", "and", "then", "was", "very", "old"]


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
