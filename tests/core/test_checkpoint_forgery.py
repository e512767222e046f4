"""Checkpoints whose checksums all agree, but which `save` did not write: refused, in one line."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.files import checkpoint, checkpoint_index
from core.files.checkpoint import CheckpointError


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A run's folder with the checkpoints of steps 1 and 2."""
    state = {
        "network": {"weight": torch.ones(2, 3), "mask": np.array([True, False])},
        "rng": {"state": 2**127, "position": 3},
    }
    for step in (1, 2):
        checkpoint.save(tmp_path / "checkpoints", step, state, identity={})
    return tmp_path


def forge(path: Path, name: str, content: bytes) -> None:
    """Replace a file of a checkpoint and make the manifest agree."""
    (path / name).write_bytes(content)
    manifest = checkpoint_index.unseal((path / "MANIFEST.json").read_bytes())
    written = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest["files"][name] = written
    (path / "MANIFEST.json").write_bytes(checkpoint_index.seal(manifest))


def tensors(header: Any, data: bytes) -> bytes:
    """Return a safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str = "F32", shape: Any = (2, 3), offsets: Any = (0, 24)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


FORGED_TENSORS = {
    "path-like name": tensors({"../../weight": entry()}, bytes(24)),
    "absolute name": tensors({"/etc/passwd": entry()}, bytes(24)),
    "control character": tensors({"a\nb": entry()}, bytes(24)),
    "other name": tensors({"bias": entry()}, bytes(24)),
    "pickle": pickle.dumps({"weight": [1.0, 2.0]}),
    "zip": b"PK\x03\x04" + bytes(60),
    "unknown dtype": tensors({"weight": entry("F8_E4M3", (24,))}, bytes(24)),
    "dtype of other type": tensors({"weight": {**entry(), "dtype": ["F32"]}}, bytes(24)),
    "header longer than the file": (2**40).to_bytes(8, "little") + bytes(40),
    "shape beyond the data": tensors({"weight": entry(shape=(2**40, 3))}, bytes(24)),
    "impossible empty shape": tensors({"weight": entry("F32", (0, *[2**48] * 4), (0, 0))}, b""),
    "length beyond 64 bits": tensors({"weight": entry("U8", (0, 2**63), (0, 0))}, b""),
    "too many dimensions": tensors({"weight": entry("U8", [1] * 40, (0, 1))}, bytes(1)),
    "terminal codes in a name": tensors({"a\x1b[2J\nb": entry(offsets=(8, 32))}, bytes(32)),
    "name given twice": tensors(
        b'{"weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
        b'"weight":{"dtype":"F32","shape":[2,3],"data_offsets":[24,48]}}',
        bytes(48),
    ),
    "cut off": tensors({"weight": entry()}, bytes(23)),
    "negative shape": tensors({"weight": entry("F32", (-2, -3))}, bytes(24)),
    "boolean shape": tensors({"weight": entry("U8", (True,), (0, 1))}, bytes(1)),
    "gap": tensors({"weight": entry(offsets=(8, 32))}, bytes(32)),
    "overlap": tensors({"weight": entry(), "mask": entry("BOOL", (2,), (22, 24))}, bytes(24)),
    "more data": tensors({"weight": entry()}, bytes(25)),
    "not boolean": tensors(
        {"weight": entry(), "mask": entry("BOOL", (2,), (24, 26))}, bytes(24) + b"\1\2"
    ),
    "deep header": tensors(b"[" * 100_000, b""),
    "list header": tensors([1], b""),
}


@pytest.mark.parametrize("content", FORGED_TENSORS.values(), ids=FORGED_TENSORS)
def test_forged_tensor_files_are_refused(two: Path, content: bytes) -> None:
    newest = checkpoint.newest(two)
    forge(newest, "network.safetensors", content)
    with pytest.raises(CheckpointError, match="--checkpoint step_000000001") as error:
        checkpoint.load(two)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["../../weight", "/etc/passwd", "a//b", "a\\b", "."])
def test_names_with_path_components_are_refused_even_if_used(two: Path, name: str) -> None:
    newest = checkpoint.newest(two)
    forge(newest, "network.safetensors", tensors({name: entry()}, bytes(24)))
    forge(newest, "state.json", json.dumps({"network": {"$tensor": name}}).encode())
    with pytest.raises(CheckpointError, match=r"array name .* is not allowed"):
        checkpoint.load(two)


@pytest.mark.parametrize(
    "tree",
    [
        "[" * 100_000,
        '{"network": 1, "rng": 2}',
        "[]",
        '{"network": {"$pickle": "x"}}',
        '{"network": {"$int": "1' + "0" * 10 + 'z"}}',
        '{"network": {"$tensor": "weight"}, "rng": {"$tensor": "weight"}}',
        '{"network": [{"$tensor": "weight"}, {"$dict": [[{"$tuple": [[]]}, 1]]}]}',
        '{"rng": ' + "1" * 5000 + "}",
    ],
)
def test_forged_trees_are_refused(two: Path, tree: str) -> None:
    forge(checkpoint.newest(two), "state.json", tree.encode())
    with pytest.raises(CheckpointError):
        checkpoint.load(two)


def test_random_forgeries_give_a_state_or_a_checkpoint_error(two: Path) -> None:
    newest = checkpoint.newest(two)
    generator = random.Random(1)
    accepted = 0
    for file in sorted(newest.glob("s*")) + sorted(newest.glob("n*")):
        content = file.read_bytes()
        for _ in range(200):
            mutated = bytearray(content)
            for _ in range(generator.randint(1, 3)):
                mutated[generator.randrange(len(mutated))] = generator.choice(
                    b'{}[]",:0195$a\0\xff'
                )
            forge(newest, file.name, bytes(mutated))
            try:
                checkpoint.load(newest)
                accepted += 1
            except CheckpointError:
                pass
        forge(newest, file.name, content)
    assert 0 < accepted < 400


def test_foreign_manifests_are_refused(two: Path) -> None:
    newest = checkpoint.newest(two)
    manifest = checkpoint_index.unseal((newest / "MANIFEST.json").read_bytes())
    good = manifest["files"]["state.json"]
    changes: list[dict[str, Any]] = [
        {"schema": 2},
        {"step": 3},
        {"step": "2"},
        {"sequence": None},
        {"identity": []},
        {"files": {}},
        {"files": {**manifest["files"], "../../x.safetensors": good}},
        {"files": {**manifest["files"], "other.safetensors": good}},
        {"files": {**manifest["files"], "state.json": {"bytes": -1, "sha256": "x"}}},
        {"files": {**manifest["files"], "network.safetensors": {**good, "bytes": 2**62}}},
    ]
    for change in changes:
        (newest / "MANIFEST.json").write_bytes(checkpoint_index.seal({**manifest, **change}))
        with pytest.raises(CheckpointError, match="--checkpoint step_000000001"):
            checkpoint.load(two)


def test_pickle_files_and_pipes_are_refused(two: Path) -> None:
    torch.save({"weight": torch.ones(2)}, two / "model.pt")
    with pytest.raises(CheckpointError, match="never pickle"):
        checkpoint.load(two / "model.pt")
    manifest = checkpoint.newest(two) / "MANIFEST.json"
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(CheckpointError, match="not a regular file"):
        checkpoint.load(two)
