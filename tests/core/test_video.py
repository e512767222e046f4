"""Films can be read back by programs that are not ours."""

from __future__ import annotations

from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from core.report.video import MAX_GIF_FRAMES, write_video


def shades(count: int, height: int = 21, width: int = 16) -> list[np.ndarray]:
    return [np.full((height, width, 3), i * 255 // max(1, count - 1), np.uint8)
            for i in range(count)]  # fmt: skip


def test_an_mp4_holds_every_frame_enlarged(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_video(shades(12), path, 15)
    frames = list(imageio.get_reader(path).iter_data())
    assert len(frames) == 12
    assert frames[0].shape[:2] == (420, 320)
    means = [frame.mean() for frame in frames]
    np.testing.assert_allclose(means, [i * 255 // 11 for i in range(12)], atol=6)
    assert list(tmp_path.iterdir()) == [path], "no partial file is left"


def test_a_gif_is_bounded_and_keeps_its_length(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    write_video(shades(MAX_GIF_FRAMES * 2 + 1, 2, 400), path, 50)
    with Image.open(path) as gif:
        assert gif.n_frames <= MAX_GIF_FRAMES  # type: ignore[attr-defined]
        assert gif.info["loop"] == 0


def test_a_film_of_nothing_and_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no frames"):
        write_video([], tmp_path / "film.mp4", 15)
    with pytest.raises(UserError, match=r"mp4 or \.gif"):
        write_video(shades(2), tmp_path / "film.avi", 15)


def test_frames_that_fail_leave_no_file(tmp_path: Path) -> None:
    def failing():  # type: ignore[no-untyped-def]
        yield from shades(3)
        raise RuntimeError("the game broke")

    with pytest.raises(RuntimeError, match="game broke"):
        write_video(failing(), tmp_path / "film.mp4", 15)
    assert list(tmp_path.iterdir()) == []
