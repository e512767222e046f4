"""IDX files, the format of MNIST and of the sets that take its place.

    byte 0, 1   zero
    byte 2      type: 8 is unsigned bytes, the only one read here
    byte 3      number of dimensions
    then        each dimension, uint32 big-endian; then the data

Legend: N images, H W plane.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from core.errors import UserError
from tasks.data.files import read

_UNSIGNED_BYTES = 8
MAX_SIDE = 1024


def read_idx(path: Path, dimensions: int, sha256: str | None = None) -> np.ndarray:
    """The array in a file, packed with gzip or not, uint8.

    Args:
        path: the file.
        dimensions: 3 for images [N, H, W], 1 for labels [N].
        sha256: of a known file.

    Raises:
        UserError: it is of another kind, or truncated.
    """
    content = read(path, sha256=sha256)
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTES, dimensions]) or len(content) < header:
        raise UserError(
            f"{path} is not an IDX file of unsigned bytes with {dimensions} "
            f"dimension{'s' * (dimensions > 1)}; expected MNIST's format"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = int(np.prod([int(size) for size in shape], dtype=object))
    if len(content) - header != expected:
        raise UserError(
            f"{path} holds {len(content) - header:,} bytes of data, but its header promises "
            f"{'x'.join(map(str, shape))}; it is truncated or damaged"
        )
    if any(not 1 <= side <= MAX_SIDE for side in shape[1:]) or not shape[0]:
        raise UserError(f"{path} holds data of shape {'x'.join(map(str, shape))}: no images")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
