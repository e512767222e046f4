"""Compiled loops of the replay memory: which transitions may be drawn, and stacks of frames.

Columns are rings [R, L]: row t of lane l lies at [t % R, l]. A frame's number is t * L + l.
Legend: R physical rows, L lanes, N observations, K frames stacked, F numbers in a frame.
"""

from __future__ import annotations

import numpy as np

from core.kernels import kernel

TERMINATED, TRUNCATED, VALID, FIRST = 1, 2, 4, 8
"""Bits of the flags column."""
DONE = TERMINATED | TRUNCATED


@kernel
def _count_steps(flags: np.ndarray, end: int, row: int, lane: int, n_step: int) -> int:
    """Return how many rewards the transition at `row` sums; 0 if it must not be drawn (yet).

    It must not where the action was ignored, or where the frame to bootstrap from is not there.
    """
    rows = flags.shape[0]
    if not flags[row % rows, lane] & VALID:
        return 0
    for steps in range(1, n_step + 1):
        if row + steps >= end:
            return 0
        if flags[(row + steps - 1) % rows, lane] & DONE:
            return steps
    return n_step


@kernel
def _stack_start(flags: np.ndarray, oldest: int, row: int, lane: int, stack: int) -> int:
    """Return the oldest row of the stack that ends at `row`; -1 if its frames are gone."""
    start = row
    for _ in range(stack - 1):
        if flags[start % flags.shape[0], lane] & FIRST:
            break
        start -= 1
        if start < oldest:
            return -1
    return start


@kernel
def count_sampleable(
    flags: np.ndarray, low: int, oldest: int, end: int, n_step: int, stack: int
) -> int:
    """Count the transitions of rows [low, end) that may be drawn."""
    count = 0
    for row in range(low, end):
        for lane in range(flags.shape[1]):
            if _count_steps(flags, end, row, lane, n_step) > 0:
                count += _stack_start(flags, oldest, row, lane, stack) >= 0
    return count


@kernel
def select(
    candidates: np.ndarray,
    filled: int,
    flags: np.ndarray,
    reward: np.ndarray,
    oldest: int,
    end: int,
    n_step: int,
    discount: float,
    clip_rewards: bool,
    n_step_return: np.ndarray,
    bootstrap_discount: np.ndarray,
    chosen: np.ndarray,
    frames: np.ndarray,
) -> int:
    """Fill a batch with those candidates that may be drawn, from place `filled` on.

    Args:
        candidates: frame numbers, int64 [N].
        filled: transitions the batch holds already.
        flags, reward: columns [R, L].
        oldest, end: rows [oldest, end) are held.
        n_step, discount, clip_rewards: of the return.
        n_step_return, bootstrap_discount: filled, float32 [B].
        chosen: filled with the frame numbers drawn, int64 [B].
        frames: filled with the frame numbers of the stacks, -1 for a blank, int64 [2, B, K]:
            observations, then the observations to bootstrap from.

    Returns:
        Transitions the batch holds now.
    """
    rows, lanes = flags.shape
    stack = frames.shape[2]
    for number in candidates:
        if filled == len(chosen):
            break
        row, lane = number // lanes, number % lanes
        steps = _count_steps(flags, end, row, lane, n_step)
        if steps == 0 or _stack_start(flags, oldest, row, lane, stack) < 0:
            continue
        total, power = 0.0, 1.0
        for step in range(steps):
            value = reward[(row + step) % rows, lane]
            total += power * (np.sign(value) if clip_rewards else value)
            power *= discount
        terminated = flags[(row + steps - 1) % rows, lane] & TERMINATED
        n_step_return[filled] = total
        bootstrap_discount[filled] = 0.0 if terminated else power
        chosen[filled] = number
        for which, newest in enumerate((row, row + steps)):
            start = _stack_start(flags, oldest, newest, lane, stack)
            for place in range(stack):
                source = newest - stack + 1 + place
                frames[which, filled, place] = source * lanes + lane if source >= start else -1
        filled += 1
    return filled


def gather_stacks(source: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    """Copy frames into stacks whose stack axis is last in memory.

    Args:
        source: frames, [M, F]; frame i lies at i % M.
        numbers: which frames, int64 [N, K], -1 for zeros.
        out: filled, [N, F, K], of the dtype of `source`.
    """
    if out.dtype == np.uint8 and out.shape[2] == 4:
        # Whole words are written five times as fast as bytes at a distance of four.
        _gather_words(source, numbers, out.view("<u4")[..., 0])
    else:
        _gather(source, numbers, out)


@kernel
def _gather(source: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    for n in range(numbers.shape[0]):
        for k in range(numbers.shape[1]):
            if numbers[n, k] < 0:
                out[n, :, k] = 0
            else:
                frame = source[numbers[n, k] % len(source)]
                for i in range(len(frame)):
                    out[n, i, k] = frame[i]


@kernel
def _gather_words(source: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    """The case of four uint8 frames; `out` is little-endian uint32 [N, F]."""
    blank = np.zeros(source.shape[1], np.uint8)
    for n in range(numbers.shape[0]):
        w, x, y, z = numbers[n, 0], numbers[n, 1], numbers[n, 2], numbers[n, 3]
        a = source[w % len(source)] if w >= 0 else blank
        b = source[x % len(source)] if x >= 0 else blank
        c = source[y % len(source)] if y >= 0 else blank
        d = source[z % len(source)] if z >= 0 else blank
        for i in range(len(blank)):
            out[n, i] = (
                np.uint32(a[i])
                | (np.uint32(b[i]) << np.uint32(8))
                | (np.uint32(c[i]) << np.uint32(16))
                | (np.uint32(d[i]) << np.uint32(24))
            )
