"""Read and write safetensors files as streams, with every claim of the header checked first.

The format (huggingface.co/docs/safetensors): 8 bytes header length, a JSON header that gives each
array's dtype, shape and byte range, then the arrays. The reference library builds the file in
memory, which would double the memory of a replay buffer; here an array at a time passes through,
and its checksum is taken on the way.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import atomic

MAX_HEADER_BYTES = 32 << 20
MAX_DIMENSIONS = 32
MAX_LENGTH = 1 << 48
"""Largest length of one axis."""

_NAME = re.compile(r"[\w.~-]{1,255}(/[\w.~-]{1,255}){0,127}", re.ASCII)

# NumPy has no bfloat16: its bits travel as uint16.
_NUMPY = {
    "BOOL": np.dtype("bool"),
    "U8": np.dtype("<u1"),
    "I8": np.dtype("<i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
_CODE_OF_NUMPY = {dtype: code for code, dtype in _NUMPY.items() if code != "BF16"}
_CODE_OF_TORCH = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.float32: "F32",
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
}


class TensorFileError(ValueError):
    """The file is not a safetensors file that this module would have written."""


@dataclass(frozen=True)
class StoredArray:
    """An array as read: `code` is its safetensors dtype, `data` its content (bfloat16: bits)."""

    code: str
    data: np.ndarray

    def to_tensor(self) -> torch.Tensor:
        """Return a CPU tensor that shares the memory."""
        tensor = torch.from_numpy(self.data)
        return tensor.view(torch.bfloat16) if self.code == "BF16" else tensor

    def to_array(self) -> np.ndarray:
        """Return the numpy array. Raises TensorFileError for bfloat16, which numpy lacks."""
        if self.code == "BF16":
            raise TensorFileError("bfloat16 cannot be a numpy array")
        return self.data


@dataclass(frozen=True)
class _Entry:
    """One array of a header: where its bytes [begin, end) lie after the header."""

    name: str
    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


def is_safe_name(name: str) -> bool:
    """Tell whether `name` is an array name: parts of letters, digits and ._~- joined by "/"."""
    return bool(_NAME.fullmatch(name)) and not {".", ".."} & set(name.split("/"))


def dtype_code(leaf: np.ndarray | torch.Tensor) -> str | None:
    """Return the safetensors dtype of an array or dense tensor, or None if it cannot be stored."""
    if isinstance(leaf, torch.Tensor):
        dense = leaf.layout == torch.strided and not leaf.is_quantized and not leaf.is_meta
        return _CODE_OF_TORCH.get(leaf.dtype) if dense else None
    return _CODE_OF_NUMPY.get(leaf.dtype.newbyteorder("<"))


def chunks(leaves: Mapping[str, np.ndarray | torch.Tensor]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a safetensors file that holds `leaves`, in order.

    Raises ValueError if there are so many arrays that the file could not be read again.
    """
    codes = {name: str(dtype_code(leaf)) for name, leaf in leaves.items()}
    # Wide dtypes first, so that every array starts at a multiple of its item size.
    order = sorted(leaves, key=lambda name: (-_NUMPY[codes[name]].itemsize, name))
    header: dict[str, Any] = {}
    offset = 0
    for name in order:
        shape = [int(length) for length in leaves[name].shape]
        end = offset + math.prod(shape) * _NUMPY[codes[name]].itemsize
        header[name] = {"dtype": codes[name], "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"{len(leaves)} arrays are too many for one file")
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        yield _raw_bytes(leaves[name])


def _raw_bytes(leaf: np.ndarray | torch.Tensor) -> memoryview:
    """Return the little-endian bytes of one array in C order."""
    if isinstance(leaf, torch.Tensor):
        tensor = leaf.detach().cpu().resolve_neg()
        leaf = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    array = np.ascontiguousarray(leaf, dtype=leaf.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8).data


def read(path: Path) -> tuple[dict[str, StoredArray], str]:
    """Return the arrays of a safetensors file by name, and the SHA-256 of the whole file.

    Nothing is allocated beyond the file's real size. Raises TensorFileError, OSError.
    """
    digest = hashlib.sha256()
    arrays = {}
    with atomic.open_regular(path) as file:
        for entry in _read_header(file, digest):
            try:
                array = np.empty(entry.shape, _NUMPY[entry.code])
            except (ValueError, MemoryError) as error:
                raise TensorFileError(f"array {entry.name!r}: {error}") from None
            content = array.reshape(-1).view(np.uint8)
            if file.readinto(content.data) != content.nbytes:
                raise TensorFileError(f"is cut off in array {entry.name!r}")
            digest.update(content.data)
            if entry.code == "BOOL" and content.size and content.max() > 1:
                raise TensorFileError(f"array {entry.name!r} is not boolean")
            arrays[entry.name] = StoredArray(entry.code, array)
    return arrays, digest.hexdigest()


def _read_header(file: BufferedReader, digest: Any) -> list[_Entry]:
    """Read and check the header; return its arrays in the order of their bytes."""
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(MAX_HEADER_BYTES, size - 8):
        raise TensorFileError("is not a safetensors file (impossible header length)")
    text = file.read(length)
    digest.update(prefix + text)
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise TensorFileError("is not a safetensors file (header is not JSON)") from None
    if not isinstance(header, dict):
        raise TensorFileError("is not a safetensors file (header is not an object)")
    header.pop("__metadata__", None)
    entries = sorted(
        (_checked_entry(name, fields) for name, fields in header.items()),
        key=lambda entry: (entry.begin, entry.end),
    )
    position = 0
    for entry in entries:
        if entry.begin != position:
            raise TensorFileError(f"array {entry.name!r} leaves a gap or overlaps another")
        position = entry.end
    if position != size - 8 - length:
        raise TensorFileError(f"holds {size - 8 - length} bytes of arrays, header says {position}")
    return entries


def _checked_entry(name: str, fields: Any) -> _Entry:
    """Return one header entry, or raise TensorFileError if any claim in it is impossible."""
    if not is_safe_name(name):
        raise TensorFileError(f"array name {name[:80]!r} is not allowed")
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise TensorFileError(f"array {name!r} is not described by dtype, shape, data_offsets")
    code, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(code, str) or code not in _NUMPY:
        raise TensorFileError(f"array {name!r} has unexpected dtype {str(code)[:20]!r}")
    if not _are_lengths(shape) or len(shape) > MAX_DIMENSIONS:
        raise TensorFileError(f"array {name!r} has an impossible shape")
    if not _are_lengths(offsets) or len(offsets) != 2:
        raise TensorFileError(f"array {name!r} has impossible offsets")
    begin, end = offsets
    if end - begin != math.prod(shape) * _NUMPY[code].itemsize:
        raise TensorFileError(f"array {name!r} does not fill its bytes")
    return _Entry(name, code, tuple(shape), begin, end)


def _are_lengths(values: Any) -> bool:
    """Tell whether `values` is a list of plain integers in [0, MAX_LENGTH]."""
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value <= MAX_LENGTH for value in values
    )
