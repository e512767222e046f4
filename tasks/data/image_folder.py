"""A folder of images: FOLDER/CLASS/*.png or *.jpg, all of one size.

An image's part is decided by a hash of its name, so that it stays when others are added: 80 %
training, 10 % validation, 10 % test. Where there are FOLDER/train/CLASS and FOLDER/test/CLASS, they
are taken as they are, and a tenth of the training images is the validation part.

Legend: N images, C channels, H W plane.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.errors import UserError
from tasks.data.files import MAX_FILE_BYTES, fraction
from tasks.data.images import Images, ImageSet

ENDINGS = (".png", ".jpg", ".jpeg")
MAX_CLASSES = 10_000
MAX_SIDE = 1024
MAX_IMAGE_FILE_BYTES = 64 << 20
PARTS = ("train", "validation", "test")


def read_folder(folder: Path) -> ImageSet:
    """Read a folder of images.

    Raises:
        UserError: it holds no images, they differ in size, or one of them is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; expected {folder}/CLASS/*.png or *.jpg")
    ready = all((folder / part).is_dir() for part in ("train", "test"))
    tops = [folder / "train", folder / "test"] if ready else [folder]
    classes = sorted(
        {path.name for top in tops for path in top.iterdir() if path.is_dir() and not _hidden(path)}
    )
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise UserError(
            f"{folder} has {len(classes)} folders of classes, expected 2 or more: "
            f"{folder}/CLASS/*.png or *.jpg"
        )
    found: dict[str, list[tuple[Path, int]]] = {part: [] for part in PARTS}
    for top in tops:
        for number, name in enumerate(classes):
            for path in _images(top / name):
                found[_part(path, top, ready)].append((path, number))
    empty = [part for part in PARTS if not found[part]]
    if empty:
        count = sum(map(len, found.values()))
        raise UserError(
            f"{folder} has {count} images, too few: none of them falls into the {empty[0]} part"
        )
    parts = _read_parts(found)
    return ImageSet(folder.resolve().name, "not stated", tuple(classes), *parts)


def _images(folder: Path) -> Iterator[Path]:
    """Image files of a class, in the order of their names."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in ENDINGS and not _hidden(path):
                yield path


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _part(path: Path, top: Path, ready: bool) -> str:
    place = fraction(path.relative_to(top).as_posix())
    if ready:
        return "test" if top.name == "test" else "validation" if place < 0.1 else "train"
    return "validation" if place < 0.1 else "test" if place < 0.2 else "train"


def _read_parts(found: dict[str, list[tuple[Path, int]]]) -> list[Images]:
    first = found["train"][0][0]
    shape = _read_image(first, None).shape
    count = sum(map(len, found.values()))
    if count * int(np.prod(shape)) > MAX_FILE_BYTES:
        raise UserError(
            f"{first.parents[1]} has {count:,} images of {shape[0]}x{shape[1]} pixels, more than "
            f"{MAX_FILE_BYTES / 1e9:.1f} GB; make them smaller"
        )
    parts: list[Images] = []
    for part in PARTS:
        pixels = np.empty((len(found[part]), *shape), np.uint8)  # [N, H, W, C]
        for row, (path, _) in enumerate(found[part]):
            image = _read_image(path, shape[2])
            if image.shape != shape:
                raise UserError(
                    f"{path} has {image.shape[0]}x{image.shape[1]} pixels, but {first} has "
                    f"{shape[0]}x{shape[1]}; all images must have one size"
                )
            pixels[row] = image
        labels = np.array([number for _, number in found[part]], np.int64)
        parts.append(Images(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), labels))
    return parts


def _read_image(path: Path, channels: int | None) -> np.ndarray:
    """Pixels uint8 [H, W, C] of one file; C is 1 for grey images, 3 for others.

    `channels` makes them all alike: colour is taken from a grey image's shades, and left out of a
    coloured one where the first image was grey.
    """
    from PIL import Image

    try:
        if path.stat().st_size > MAX_IMAGE_FILE_BYTES:
            raise UserError(f"{path} is larger than {MAX_IMAGE_FILE_BYTES >> 20} MB")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if max(image.size) > MAX_SIDE:
                    raise UserError(
                        f"{path} has {image.height}x{image.width} pixels, at most {MAX_SIDE} a "
                        f"side are read; make the images smaller"
                    )
                if image.mode.startswith("I"):
                    raise UserError(f"{path} has 16 bits a pixel; expected 8: convert the images")
                grey = image.mode in ("1", "L") if channels is None else channels == 1
                pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a PNG or JPEG image: {error}") from error
    except Image.DecompressionBombWarning as error:
        raise UserError(f"{path} has more pixels than are read: {error}") from error
    return pixels[:, :, None] if grey else pixels
