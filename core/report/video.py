"""Frames to mp4 or gif files."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError

SMALLEST_WIDTH = 320
MAX_GIF_FRAMES = 600


def write_video(frames: Iterable[np.ndarray], path: Path, frames_per_second: float) -> None:
    """Write a film; the file appears only when it is whole.

    Args:
        frames: uint8 [H, W, 3], for gif also [H, W], all of one size; small ones are enlarged by
            whole pixels.
        path: ends in .mp4 (H.264) or .gif (at most 600 frames, evenly chosen).
        frames_per_second: speed of the film.

    Raises:
        UserError: no frames, another ending, or no ffmpeg for mp4.
        OSError: the file cannot be written.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise UserError("there are no frames to film")
    scale = max(1, -(-SMALLEST_WIDTH // first.shape[1]))
    enlarged = (frame.repeat(scale, 0).repeat(scale, 1) for frame in chain([first], iterator))
    writers = {".mp4": _write_mp4, ".gif": _write_gif}
    if path.suffix not in writers:
        raise UserError(f"a video's name ends in .mp4 or .gif, got {path.name}")
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        writers[path.suffix](enlarged, partial, frames_per_second)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_mp4(frames: Iterable[np.ndarray], path: Path, frames_per_second: float) -> None:
    import imageio.v2 as imageio

    try:
        # H.264 wants even sizes; macro_block_size 2 pads, rather than imageio's default of 16.
        writer: Any = imageio.get_writer(
            path,
            format="FFMPEG",
            fps=frames_per_second,
            codec="libx264",
            quality=8,  # type: ignore[arg-type]
            macro_block_size=2,
            pixelformat="yuv420p",
            ffmpeg_log_level="error",
        )
    except (ImportError, RuntimeError) as error:
        raise UserError("mp4 needs ffmpeg, which is not here; use --video-format gif") from error
    with writer:
        for frame in frames:
            writer.append_data(frame)


def _write_gif(frames: Iterable[np.ndarray], path: Path, frames_per_second: float) -> None:
    from PIL import Image

    kept = [Image.fromarray(frame) for frame in frames]
    stride = -(-len(kept) // MAX_GIF_FRAMES)
    kept = kept[::stride]
    kept[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=kept[1:],
        loop=0,
        duration=round(1000 * stride / frames_per_second),
    )
