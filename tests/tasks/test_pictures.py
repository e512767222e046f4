"""Pictures: right sizes, right places, and names that could be taken for mathematics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tasks.pictures import attention_map, confusion_matrix, grid, write_png


def test_a_grid_has_every_image_in_its_place() -> None:
    pixels = np.arange(1, 11, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 6), np.uint8)
    sheet = grid(pixels, columns=4, scale=2)
    assert sheet.shape == (3 * 17, 4 * 13)
    for number in range(10):
        top, left = number // 4 * 17, number % 4 * 13
        assert (sheet[top : top + 16, left : left + 12] == number + 1).all()
    assert grid(np.zeros((3, 3, 40, 40), np.uint8)).shape == (41, 3 * 41, 3)
    assert grid(np.zeros((2, 5, 4, 4), np.uint8)).shape == (33, 66)  # scaled by 8


def test_confusions_are_darker_where_more_fell() -> None:
    picture = confusion_matrix(np.array([[90, 10], [0, 0]]), ["a_$x", "b$"])
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    blue = (picture[..., 2] > picture[..., 0].astype(int) + 60).mean()
    assert 0.05 < blue < 0.5
    assert confusion_matrix(np.eye(30, dtype=np.int64), [str(i) for i in range(30)]).ndim == 3


def test_attention_has_a_row_for_each_target_token(tmp_path: Path) -> None:
    weights = np.zeros((3, 5))
    weights[0, 4] = 1.0
    picture = attention_map(
        weights, ["a", "$b", "c\n", "\u4e2d\udcff", "x" * 99], ["A", "B", "(end)"]
    )
    bright = (picture == 255).all(axis=2)
    assert picture.ndim == 3 and bright.any()
    write_png(tmp_path / "map.png", picture)
    with Image.open(tmp_path / "map.png") as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
