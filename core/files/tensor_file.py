"""Safetensors files: read by the library, with our checks around it; written as streams.

The library writes to a path and at once, so every array would have to lie on the CPU, contiguous,
at the same time, and the file be read again for its checksum. Here one array at a time passes
through to core/files/atomic.py, which takes the checksum on the way.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from core.files import atomic

MAX_HEADER_BYTES = 100_000_000
"""The library reads no longer header."""
MAX_DIMENSIONS = 32

_NAME = re.compile(r"[\w.~-]{1,255}(/[\w.~-]{1,255}){0,127}", re.ASCII)
_CODES = {
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


def can_store(leaf: np.ndarray | torch.Tensor) -> bool:
    """Tell whether an array or tensor can be written: dense, of one of the dtypes above."""
    if isinstance(leaf, torch.Tensor):
        dense = leaf.layout == torch.strided and not leaf.is_quantized and not leaf.is_meta
        return dense and leaf.dtype in _CODES
    return _torch_dtype(leaf) in _CODES


def _torch_dtype(leaf: np.ndarray | torch.Tensor) -> Any:
    """Return the dtype of `leaf` as torch's; of an array whose dtype torch lacks, its name."""
    name = leaf.dtype.name if isinstance(leaf, np.ndarray) else ""
    return getattr(torch, name, name) if name else leaf.dtype


def chunks(leaves: Mapping[str, np.ndarray | torch.Tensor]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a safetensors file that holds `leaves`, in order.

    Raises ValueError if there are so many arrays that the file could not be read again.
    """
    dtypes = {name: _torch_dtype(leaf) for name, leaf in leaves.items()}
    # Wide dtypes first, so that every array starts at a multiple of its item size.
    order = sorted(leaves, key=lambda name: (-dtypes[name].itemsize, name))
    header: dict[str, Any] = {}
    offset = 0
    for name in order:
        shape = [int(length) for length in leaves[name].shape]
        end = offset + math.prod(shape) * dtypes[name].itemsize
        code = _CODES[dtypes[name]]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [offset, end]}
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


def read(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Return the arrays of a safetensors file by name, and the SHA-256 of the whole file.

    They lie in memory of their own: a mapped file that is removed would keep its space on the
    disk, and one that is cut off would end the process. The library compares the header with the
    file's real size before it allocates. Raises TensorFileError, OSError.
    """
    with atomic.open_regular(path) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    tensors: dict[str, torch.Tensor] = {}
    try:
        with safe_open(path, framework="pt", backend="pread") as file:
            for name in file.keys():  # noqa: SIM118  it is no mapping
                if not _is_safe_name(name):
                    raise TensorFileError(f"array name {name[:80]!r} is not allowed")
                tensors[name] = _checked(name, file.get_tensor(name))
    except (SafetensorError, RuntimeError, TypeError, MemoryError) as error:
        # The message may quote the file. RuntimeError, TypeError: torch refuses a shape.
        reason = ascii(str(error).partition("\n")[0])[1:-1]
        raise TensorFileError(f"is not a safetensors file ({reason[:200]})") from None
    return tensors, digest


def _is_safe_name(name: str) -> bool:
    """Tell whether `name` is an array name: parts of letters, digits and ._~- joined by "/"."""
    return bool(_NAME.fullmatch(name)) and not {".", ".."} & set(name.split("/"))


def _checked(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor as read, or raise TensorFileError for what the library lets pass."""
    if tensor.dtype not in _CODES:
        raise TensorFileError(f"array {name!r} has unexpected dtype {tensor.dtype}")
    if tensor.ndim > MAX_DIMENSIONS:
        raise TensorFileError(f"array {name!r} has {tensor.ndim} dimensions")
    if tensor.dtype == torch.bool and tensor.numel() and tensor.view(torch.uint8).max() > 1:
        raise TensorFileError(f"array {name!r} is not boolean")
    return tensor


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """Return a numpy array that shares the memory of a tensor as read.

    Raises TensorFileError for bfloat16, which numpy lacks.
    """
    if tensor.dtype == torch.bfloat16:
        raise TensorFileError("bfloat16 cannot be a numpy array")
    return tensor.numpy()


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """What tells weights from others, 16 hexadecimal digits: their names and numbers."""
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(name.encode() + tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return whole.hexdigest()[:16]
