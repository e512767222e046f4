"""Random numbers inside kernels: xorshift64* (Vigna 2016, arXiv 1402.6246), one word of state."""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel

_MASK = (1 << 64) - 1
_A, _B, _C, _HALF = np.uint64(12), np.uint64(25), np.uint64(27), np.uint64(32)
_ELEVEN = np.uint64(11)
_STAR = np.uint64(2685821657736338717)


def random_state(seed: int, streams: int = 1) -> np.ndarray:
    """Independent generators for `random_below`, uint64 [streams, 1], none of them zero.

    SplitMix64 spreads the seed, as its authors advise for seeding.
    """
    # A cache line each: threads that write to the same line wait for one another.
    states = np.zeros((streams, 8), np.uint64)[:, :1]
    for stream in range(streams):
        mixed = (seed * 0x9E3779B97F4A7C15 + (stream + 1) * 0xD1B54A32D192ED03) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        states[stream, 0] = (mixed ^ (mixed >> 31)) or 1
    return states


@kernel
def _draw(rng: np.ndarray) -> int:
    """Draw 64 bits."""
    x = rng[0]
    x ^= x >> _A
    x ^= x << _B
    x ^= x >> _C
    rng[0] = x
    return x * _STAR


@kernel
def random_below(rng: np.ndarray, bound: int) -> int:
    """Draw an integer of [0, bound), bound < 2^32; advances rng, uint64 [1]."""
    high = _draw(rng) >> _HALF
    return np.int64((high * np.uint64(bound)) >> _HALF)  # type: ignore[return-value]


@kernel
def random_unit(rng: np.ndarray) -> float:
    """Draw a number of [0, 1), a multiple of 2^-53; advances rng, uint64 [1]."""
    return (_draw(rng) >> _ELEVEN) * 2.0**-53
