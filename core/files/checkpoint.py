"""Checkpoints that a crash, a full disk or a stranger cannot turn into garbage.

    checkpoints/
        step_000123456/
            <part>.safetensors      the arrays of each top-level part of the state
            state.json              everything else, see core/files/state_tree.py
            MANIFEST.json           written last: size and SHA-256 of every file, score, place in
                                    the order of saving; sealed by its own

The manifests alone tell which checkpoint is the newest and which the best. A checkpoint is written
under a temporary name, synced and renamed; only then are older ones removed. Nothing here is ever
unpickled. Saving a step that exists already makes step_000123456-2: the old one stays until the new
one is complete.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError, did_you_mean
from core.files import atomic, state_tree, tensor_file
from core.files.checkpoint_index import (
    DAMAGED,
    MANIFEST,
    SCHEMA,
    STATE_JSON,
    UNREAD,
    Damage,
    Entry,
    catalogue,
    find_best,
    is_checkpoint_name,
    read_manifest,
    seal,
    target_name,
)
from core.files.checkpoint_reader import MAX_STATE_JSON_BYTES, check, read_parts

State = dict[str, Any]
"""Nested dict, list, tuple; leaves: tensor, numpy array, int, float, str, bool, None."""

MAX_PARTS = 256
MAX_IDENTITY_BYTES = 64 << 10
_PART = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TEMPORARY = ".tmp-"
_SET_ASIDE = "damaged-"
_OF_OLDER_VERSIONS = ("latest", "best")
"""Files that repeated what the manifests tell."""


class CheckpointError(UserError):
    """A checkpoint could not be written, or must not be read; one line says why."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: where it was, its step, its state (on the CPU), whose it is."""

    path: Path
    step: int
    state: State
    identity: dict[str, Any]


def save(
    folder: Path,
    step: int,
    state: State,
    *,
    identity: dict[str, Any],
    keep: int = 2,
    best_score: float | None = None,
) -> Path:
    """Write `state` into `folder` (a run's `checkpoints`) and return the new checkpoint's path.

    When this returns, the checkpoint is on the disk and the newest; also the best if `best_score`
    exceeds every earlier one (a score that is not finite counts as none). The `keep` last saved
    steps and the best one stay.
    Raises TypeError or ValueError, before anything is written, for a state that cannot be stored;
    CheckpointError if the disk fails: earlier checkpoints are then untouched.
    """
    if step < 0 or keep < 1:
        raise ValueError(f"step must be at least 0 and keep at least 1, not {step} and {keep}")
    if best_score is not None and not math.isfinite(best_score):
        best_score = None
    arrays, text = _encoded(state, identity)
    temporary = folder / f"{_TEMPORARY}{step}-{os.getpid()}"
    try:
        atomic.make_folder(folder)
        _remove_leftovers(folder)
        entries = catalogue(folder)
        target = folder / target_name(step, entries)
        manifest = {
            "step": step,
            "sequence": 1 + max([0, *(entry.sequence for entry in entries)]),
            "score": best_score,
            "identity": identity,
        }
        _write_folder(temporary, arrays, text, manifest)
        atomic.rename(temporary, target)
        atomic.sync_folder(folder)
    except Exception as error:
        with suppress(OSError):
            atomic.remove(temporary)
        if not isinstance(error, OSError):
            raise
        raise CheckpointError(
            f"could not save the checkpoint of step {step} in {folder}:"
            f" {error.strerror or error}; earlier checkpoints are untouched"
        ) from error
    with suppress(OSError):
        _rotate(folder, target, keep)
    return target


def load(path: Path, *, keys: Sequence[str] | None = None) -> Checkpoint:
    """Return a checkpoint after checking every byte of what is read.

    `path` is a checkpoint, or a run's folder or its `checkpoints`: then the newest is taken.
    `keys` limits what is read to these top-level parts. Raises CheckpointError; a damaged
    checkpoint is never replaced silently by an older one, but the message names that one.
    """
    path = _resolve(Path(path))
    with _one_line_errors(path):
        manifest = read_manifest(path)
        state = dict(read_parts(path, manifest, keys))
    return Checkpoint(path, manifest.step, state, manifest.identity)


def newest(folder: Path) -> Path:
    """Return the newest checkpoint of a run's folder or its `checkpoints`.

    One whose manifest cannot be read might be it, and is returned: loading says what is wrong.
    Raises CheckpointError if there is none.
    """
    folder = _checkpoints_of(folder)
    entries = catalogue(folder)
    if not entries:
        raise CheckpointError(f"{folder}: there is no checkpoint here")
    return (_unreadable(entries) or entries[0]).path


def best(folder: Path) -> Path | None:
    """Return the checkpoint with the best score of a run, or None if none was saved with one.

    As in `newest`, one whose manifest cannot be read might be it.
    """
    entries = catalogue(_checkpoints_of(folder))
    found = _unreadable(entries) or find_best(entries)
    return None if found is None else found.path


def _unreadable(entries: Sequence[Entry]) -> Entry | None:
    return next((entry for entry in entries if entry.sequence <= 0), None)


def _encoded(
    state: State, identity: dict[str, Any]
) -> tuple[dict[str, dict[str, state_tree.Leaf]], bytes]:
    """Return the arrays of each part, by file name, and the text of state.json."""
    if len(state) > MAX_PARTS:
        raise ValueError(f"a state may have {MAX_PARTS} parts, not {len(state)}")
    trees, arrays = {}, {}
    for part, value in state.items():
        if not _PART.fullmatch(part):
            raise ValueError(f"part {part!r} of a state must match {_PART.pattern}")
        leaves: dict[str, state_tree.Leaf] = {}
        trees[part] = state_tree.encode(value, leaves, (part,))
        if leaves:
            arrays[f"{part}.safetensors"] = leaves
    text = json.dumps(trees, allow_nan=False).encode()
    if len(text) > MAX_STATE_JSON_BYTES:
        raise ValueError(
            f"a state may hold {MAX_STATE_JSON_BYTES} bytes beside its arrays, not {len(text)}"
        )
    if len(json.dumps(identity, allow_nan=False)) > MAX_IDENTITY_BYTES:
        raise ValueError(f"identity is larger than {MAX_IDENTITY_BYTES} bytes")
    return arrays, text


def _write_folder(
    folder: Path,
    arrays: dict[str, dict[str, state_tree.Leaf]],
    text: bytes,
    manifest: dict[str, Any],
) -> None:
    """Write and sync the files of a checkpoint, the manifest last."""
    atomic.make_new_folder(folder)
    files = {
        name: atomic.write_file(folder / name, tensor_file.chunks(arrays[name])) for name in arrays
    }
    files[STATE_JSON] = atomic.write_file(folder / STATE_JSON, [text])
    sums = {name: {"bytes": file.size, "sha256": file.sha256} for name, file in files.items()}
    try:
        version = importlib.metadata.version("tengen-rl")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    head = {"schema": SCHEMA, "tengen": version}
    atomic.write_file(folder / MANIFEST, [seal({**head, **manifest, "files": sums})])
    atomic.sync_folder(folder)


def _remove_leftovers(folder: Path) -> None:
    """Remove what an interrupted save or an older version left; nobody else writes to a run."""
    for path in (*folder.glob(f"{_TEMPORARY}*"), *(folder / name for name in _OF_OLDER_VERSIONS)):
        with suppress(OSError):
            atomic.remove(path)


def _rotate(folder: Path, saved: Path, keep: int) -> None:
    """Remove all but the checkpoints of the `keep` last saved steps, the best and `saved`.

    What is damaged is set aside under another name: from now on `saved` is the newest. What a disk
    does not give at this moment is left alone.
    """
    entries = catalogue(folder)
    found = find_best(entries)
    kept = {saved.name} | ({found.path.name} if found else set())
    steps = list(dict.fromkeys(entry.step for entry in entries if entry.sequence > 0))[:keep]
    for entry in entries:
        if entry.sequence == UNREAD:
            continue
        if entry.sequence == DAMAGED:
            atomic.rename(entry.path, folder / f"{_SET_ASIDE}{entry.path.name}-{time.time_ns()}")
        elif entry.step in steps:
            steps.remove(entry.step)
        elif entry.path.name not in kept:
            # Renamed first, so that a crash never leaves half a checkpoint under its name.
            doomed = folder / f"{_TEMPORARY}old-{entry.path.name}-{os.getpid()}"
            atomic.rename(entry.path, doomed)
            atomic.remove(doomed)


def _checkpoints_of(folder: Path) -> Path:
    inner = Path(folder) / "checkpoints"
    return inner if inner.is_dir() else Path(folder)


def _resolve(path: Path) -> Path:
    """Return the checkpoint that `path` means: itself, or the newest of a run."""
    if path.is_file():
        raise CheckpointError(
            f"{path}: is not a checkpoint; Tengen loads its own checkpoint folders"
            " (safetensors and JSON), never pickle or zip files"
        )
    if not path.is_dir():
        siblings = [entry.path.name for entry in catalogue(path.parent)]
        raise CheckpointError(f"{path}: there is no such folder{did_you_mean(path.name, siblings)}")
    if is_checkpoint_name(path.name) or (path / MANIFEST).exists():
        return path
    return newest(path)


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong while reading the checkpoint `path` into a CheckpointError."""
    try:
        yield
    except Damage as damage:
        reason = str(damage)
    except OSError as error:
        reason = f"{Path(error.filename or path).name}: {error.strerror or error}"
    else:
        return
    raise CheckpointError(f"{path}: {reason}{_advice(path)}")


def _advice(path: Path) -> str:
    """Name the newest good checkpoint beside the bad one `path`, if there is one."""
    if not is_checkpoint_name(path.name):
        return ""
    for entry in catalogue(path.parent):
        if entry.path.name == path.name:
            continue
        with suppress(Damage, OSError):
            check(entry.path)
            return f"; the newest good one is {entry.path.name}: --checkpoint {entry.path.name}"
    return "; there is no other good checkpoint beside it"
