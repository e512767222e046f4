"""What lies in a `checkpoints` folder: names and manifests, which tell the newest and the best.

Manifests are JSON sealed with a SHA-256 of their own content, so a changed byte is noticed.
Nothing here writes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.files import atomic

SCHEMA = 1
MANIFEST = "MANIFEST.json"
STATE_JSON = "state.json"
MAX_MANIFEST_BYTES = 1 << 20
DAMAGED, UNREAD = 0, -1
"""Sequence of a checkpoint whose manifest is not what was written, or could not be read now."""

_CHECKPOINT_NAME = re.compile(r"step_(\d{9,18})(?:-(\d{1,9}))?", re.ASCII)
_FILE_NAME = re.compile(r"state\.json|[a-z][a-z0-9_]{0,63}\.safetensors", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Damage(ValueError):
    """What is wrong with a checkpoint, naming the file."""


@dataclass(frozen=True)
class Entry:
    """A checkpoint by its name and manifest. Without a manifest there is no score, and the sequence
    is DAMAGED or UNREAD."""

    path: Path
    step: int
    copy: int
    sequence: int
    score: float | None


@dataclass(frozen=True)
class Manifest:
    """The content of MANIFEST.json: `files` maps a file name to (size in bytes, SHA-256)."""

    step: int
    sequence: int
    score: float | None
    identity: dict[str, Any]
    files: dict[str, tuple[int, str]]


def seal(content: dict[str, Any]) -> bytes:
    """Return `content` as JSON with a checksum of itself as the last field."""
    body = json.dumps(content, indent=1, allow_nan=False)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return (json.dumps({**content, "seal": digest}, indent=1) + "\n").encode()


def unseal(text: bytes) -> dict[str, Any]:
    """Return what was sealed. Raises ValueError if even one byte is not as `seal` wrote it."""
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        raise ValueError("is not JSON") from None
    if not isinstance(content, dict) or content.pop("seal", None) is None:
        raise ValueError("has no checksum of itself")
    if seal(content) != text:
        raise ValueError("does not match its own checksum")
    return content


def is_checkpoint_name(name: str) -> bool:
    """Tell whether a folder of this name in `checkpoints` is meant to be a checkpoint."""
    return bool(_CHECKPOINT_NAME.fullmatch(name))


def target_name(step: int, entries: Sequence[Entry]) -> str:
    """Return a name for a new checkpoint of `step` that no entry has."""
    copies = [entry.copy for entry in entries if entry.step == step]
    return f"step_{step:09d}" + (f"-{1 + max(copies)}" if copies else "")


def catalogue(folder: Path) -> list[Entry]:
    """Return the checkpoints in `folder`, the last saved first, unreadable manifests last."""
    if not folder.is_dir():
        return []
    entries = []
    for path in folder.iterdir():
        match = _CHECKPOINT_NAME.fullmatch(path.name)
        if match is None or not path.is_dir():
            continue
        sequence, score = DAMAGED, None
        try:
            manifest = read_manifest(path)
            sequence, score = manifest.sequence, manifest.score
        except (Damage, FileNotFoundError):
            pass
        except OSError:
            sequence = UNREAD
        entries.append(Entry(path, int(match[1]), int(match[2] or 1), sequence, score))
    return sorted(entries, key=lambda e: (e.sequence, e.step, e.copy), reverse=True)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of the checkpoint `path`. Raises Damage, OSError."""
    text = atomic.read_bounded(path / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        content = unseal(text)
    except ValueError as error:
        raise Damage(f"{MANIFEST} {error}") from None
    schema = content.get("schema")
    if schema != SCHEMA:
        raise Damage(f"{MANIFEST} has schema {str(schema)[:20]!r}, this Tengen reads {SCHEMA}")
    manifest = _checked_manifest(content)
    match = _CHECKPOINT_NAME.fullmatch(path.name)
    if match is not None and int(match[1]) != manifest.step:
        raise Damage(f"{MANIFEST} is of step {manifest.step}, not of this folder's step")
    return manifest


def _checked_manifest(content: dict[str, Any]) -> Manifest:
    step, sequence = content.get("step"), content.get("sequence")
    score, identity, sums = content.get("score"), content.get("identity"), content.get("files")
    if type(step) is not int or type(sequence) is not int or step < 0 or sequence < 1:
        raise Damage(f"{MANIFEST} has no valid step and sequence")
    if not (score is None or _is_number(score)) or not isinstance(identity, dict):
        raise Damage(f"{MANIFEST} has no valid score and identity")
    if not isinstance(sums, dict) or STATE_JSON not in sums:
        raise Damage(f"{MANIFEST} does not list {STATE_JSON}")
    files = {}
    for name, fields in sums.items():
        if not _FILE_NAME.fullmatch(name):
            raise Damage(f"{MANIFEST} lists a file name that is not allowed: {name[:80]!r}")
        size, digest = _size_and_digest(fields)
        if type(size) is not int or size < 0 or not _SHA256.fullmatch(digest):
            raise Damage(f"{MANIFEST} has no valid size and checksum of {name}")
        files[name] = (size, digest)
    return Manifest(step, sequence, score, identity, files)


def _size_and_digest(fields: Any) -> tuple[Any, str]:
    if not isinstance(fields, dict):
        return None, ""
    return fields.get("bytes"), str(fields.get("sha256"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def find_best(entries: Sequence[Entry]) -> Entry | None:
    """Return the entry of a catalogue with the best score; the first saved among equals."""
    scored = [entry for entry in reversed(entries) if entry.score is not None]
    return max(scored, key=lambda entry: entry.score or 0.0, default=None)
