"""Read a checkpoint's parts, after checking sizes, checksums and structure of every file.

The files may come from a stranger: nothing is allocated that the file's real size, or this
machine's memory, does not cover, and names in the files are never used as paths.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from core.files import atomic, state_tree, tensor_file
from core.files.checkpoint_index import MANIFEST, STATE_JSON, Damage, Manifest, read_manifest

MAX_STATE_JSON_BYTES = 64 << 20


def check(path: Path) -> None:
    """Read the whole checkpoint, one part at a time. Raises Damage, OSError."""
    for _ in read_parts(path, read_manifest(path), None):
        pass


def read_parts(
    path: Path, manifest: Manifest, keys: Sequence[str] | None
) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each part in `keys` (None: all). Raises Damage, OSError."""
    text = _checked_text(path, manifest)
    try:
        trees = json.loads(text)
    except (ValueError, RecursionError):
        raise Damage(f"{STATE_JSON} is not JSON") from None
    if not isinstance(trees, dict):
        raise Damage(f"{STATE_JSON} is not an object")
    missing = [key for key in keys or () if key not in trees]
    if missing:
        raise Damage(f"has no part {missing[0]!r}, only {', '.join(trees)[:200]}")
    foreign = set(manifest.files) - {STATE_JSON} - {f"{part}.safetensors" for part in trees}
    if foreign:
        raise Damage(f"{MANIFEST} lists {min(foreign)}, which belongs to no part")
    parts = list(trees) if keys is None else list(keys)
    files = [f"{part}.safetensors" for part in parts]
    needed = sum(manifest.files[name][0] for name in files if name in manifest.files)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise Damage(f"needs {needed} bytes of memory, this machine has {memory}")
    for part, name in zip(parts, files, strict=True):
        yield part, _read_part(path, name, manifest, trees[part])


def _checked_text(path: Path, manifest: Manifest) -> bytes:
    size, digest = manifest.files[STATE_JSON]
    text = atomic.read_bounded(path / STATE_JSON, MAX_STATE_JSON_BYTES)
    if len(text) != size:
        raise Damage(f"{STATE_JSON} has {len(text)} bytes, {MANIFEST} says {size}")
    if hashlib.sha256(text).hexdigest() != digest:
        raise Damage(f"{STATE_JSON} does not match its checksum")
    return text


def _read_part(path: Path, name: str, manifest: Manifest, tree: Any) -> Any:
    """Return the value of one part, whose arrays are in the file `name` if it has any."""
    arrays: dict[str, torch.Tensor] = {}
    if name in manifest.files:
        size, digest = manifest.files[name]
        real_size = (path / name).stat().st_size
        if real_size != size:
            raise Damage(f"{name} has {real_size} bytes, {MANIFEST} says {size}")
        try:
            arrays, real_digest = tensor_file.read(path / name)
        except tensor_file.TensorFileError as error:
            raise Damage(f"{name} {error}") from None
        if real_digest != digest:
            raise Damage(f"{name} does not match its checksum")
    try:
        value = state_tree.decode(tree, arrays)
    except (state_tree.TreeError, RecursionError) as error:
        raise Damage(f"{STATE_JSON} {error}") from None
    if arrays:
        raise Damage(f"{name} holds the array {min(arrays)!r}, which {STATE_JSON} does not use")
    return value
