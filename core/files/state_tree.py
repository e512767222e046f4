"""Split a nested state into JSON and arrays, and join them again without loss.

JSON has no integers beyond 64 bits that every reader keeps, no nan, no tuples and only string
keys, so these become objects with a single key that starts with "$":

    {"$int": "0x1f..."}  {"$float": "nan"}  {"$tuple": [...]}  {"$dict": [[key, value], ...]}
    {"$tensor": "name"}  {"$array": "name"}       torch and numpy, by name in the tensor file
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch

from core.files.tensor_file import MAX_DIMENSIONS, TensorFileError, can_store, to_array

Leaf = np.ndarray | torch.Tensor

MAX_DEPTH = 100
_MAX_JSON_INTEGER = 1 << 53
_MAX_NAME_PART = 200
_RESERVED_NAME_PARTS = ("", ".", "..", "__metadata__")
_NOT_IN_NAMES = re.compile(r"[^\w.-]", re.ASCII)


class TreeError(ValueError):
    """The JSON does not describe a state, or not one that fits the arrays beside it."""


def encode(value: Any, arrays: dict[str, Leaf], path: tuple[str, ...] = ()) -> Any:
    """Return `value` as JSON; its arrays are added to `arrays` under the names used in the JSON.

    numpy scalars become Python numbers; subclasses of dict, list, tuple become the plain type.
    `path` is where `value` lies, used for names and messages. Raises TypeError for a type that
    cannot be stored and ValueError if the nesting is too deep.
    """
    if len(path) > MAX_DEPTH:
        raise ValueError(f"state is nested deeper than {MAX_DEPTH} at {'/'.join(path[:5])}/...")
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return _encode_array(value, arrays, path)
    if isinstance(value, dict):
        return _encode_dict(value, arrays, path)
    if isinstance(value, (list, tuple)):
        items = [encode(item, arrays, (*path, str(i))) for i, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    return _encode_scalar(value, path)


def _encode_scalar(value: Any, path: tuple[str, ...]) -> Any:
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (int, np.integer)):
        number = int(value)
        return number if abs(number) <= _MAX_JSON_INTEGER else {"$int": hex(number)}
    if isinstance(value, (float, np.float16, np.float32)):
        real = float(value)
        return real if math.isfinite(real) else {"$float": repr(real)}
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(f"a checkpoint cannot hold {kind} (at {'/'.join(path)})")


def _encode_dict(value: dict[Any, Any], arrays: dict[str, Leaf], path: tuple[str, ...]) -> Any:
    pairs = []
    for key, item in value.items():
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            raise TypeError(f"a checkpoint cannot hold the key {key!r} (at {'/'.join(path)})")
        plain_key = str(key) if isinstance(key, str) else int(key)
        encoded_key = plain_key if isinstance(key, str) else _encode_scalar(plain_key, path)
        pairs.append((encoded_key, encode(item, arrays, (*path, _short(plain_key)))))
    if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
        return dict(pairs)
    return {"$dict": [[key, item] for key, item in pairs]}


def _short(key: str | int) -> str:
    return key if isinstance(key, str) else hex(key) if abs(key) > 1 << 64 else str(key)


def _encode_array(leaf: Leaf, arrays: dict[str, Leaf], path: tuple[str, ...]) -> dict[str, str]:
    if not can_store(leaf) or leaf.ndim > MAX_DIMENSIONS:
        raise TypeError(
            f"a checkpoint cannot hold a {type(leaf).__name__} of dtype {leaf.dtype}"
            f" with {leaf.ndim} dimensions (at {'/'.join(path)})"
        )
    # The first part of the path names the file already.
    parts = [_NOT_IN_NAMES.sub("_", part)[:_MAX_NAME_PART] for part in path[1:] or path]
    base = "/".join("_" if part in _RESERVED_NAME_PARTS else part for part in parts) or "_"
    name, number = base, 1
    # Distinct keys can give one name ("a/b" and "a" -> "b"; 1 and "1"); "~" occurs in no base.
    while name in arrays:
        number += 1
        name = f"{base}~{number}"
    arrays[name] = leaf
    return {"$tensor" if isinstance(leaf, torch.Tensor) else "$array": name}


def decode(tree: Any, arrays: dict[str, torch.Tensor]) -> Any:
    """Return the value that `encode` turned into `tree`; every array used leaves `arrays`.

    Raises TreeError for JSON that `encode` cannot have written, RecursionError if it is too deep.
    """
    if isinstance(tree, list):
        return [decode(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tag = next(iter(tree), "")
    if not tag.startswith("$"):
        return {key: decode(item, arrays) for key, item in tree.items()}
    if len(tree) != 1:
        raise TreeError(f"has other keys beside {tag[:20]!r}")
    return _decode_tagged(tag, tree[tag], arrays)


def _decode_tagged(tag: str, content: Any, arrays: dict[str, torch.Tensor]) -> Any:
    if tag == "$int" and isinstance(content, str):
        return _decode_integer(content)
    if tag == "$float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if tag == "$tuple" and isinstance(content, list):
        return tuple(decode(item, arrays) for item in content)
    if tag == "$dict" and isinstance(content, list):
        return dict(_decode_pair(pair, arrays) for pair in content)
    if tag in ("$tensor", "$array") and isinstance(content, str):
        stored = arrays.pop(content, None)
        if stored is None:
            raise TreeError(f"names the array {content[:80]!r}, which is not there")
        try:
            return stored if tag == "$tensor" else to_array(stored)
        except TensorFileError as error:
            raise TreeError(str(error)) from None
    raise TreeError(f"has an unknown or malformed {tag[:20]!r}")


def _decode_integer(content: str) -> int:
    try:
        return int(content, 16)
    except ValueError:
        raise TreeError(f"has a malformed integer {content[:20]!r}") from None


def _decode_pair(pair: Any, arrays: dict[str, torch.Tensor]) -> tuple[str | int, Any]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise TreeError("has a malformed '$dict'")
    key = decode(pair[0], {})
    if not isinstance(key, (str, int)) or isinstance(key, bool):
        raise TreeError("has a key that is neither text nor integer")
    return key, decode(pair[1], arrays)
