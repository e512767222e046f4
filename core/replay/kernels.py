"""Compiled loops of the replay memory: which transitions may be drawn, and stacks of frames.

Columns are rings [R, L]: row t of lane l lies at [t % R, l]. A frame's number is t * L + l.
Legend: R physical rows, L lanes, N observations, K frames stacked, F numbers in a frame.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel

TERMINATED, TRUNCATED, VALID, FIRST, HOLE = 1, 2, 4, 8, 16
"""Bits of the flags column. A hole is where the lane was busy: it is passed over."""
DONE = TERMINATED | TRUNCATED


@kernel
def _next_row(flags: np.ndarray, row: int, lane: int, end: int) -> int:
    """Return the row after `row`, `end` if there is none."""
    row += 1
    while row < end and flags[row % flags.shape[0], lane] & HOLE:
        row += 1
    return row


@kernel
def _row_before(flags: np.ndarray, row: int, lane: int, oldest: int) -> int:
    """Return the row before `row`, -1 if it is gone."""
    row -= 1
    while row >= oldest and flags[row % flags.shape[0], lane] & HOLE:
        row -= 1
    return row if row >= oldest else -1


@kernel
def _bootstrap_row(flags: np.ndarray, end: int, row: int, lane: int, n_step: int) -> int:
    """Return the row whose frame the transition at `row` leads to; -1 if it must not be drawn.

    It must not where there is no transition, or where that frame is not there (yet).
    """
    rows = flags.shape[0]
    if not flags[row % rows, lane] & VALID:
        return -1
    for _ in range(n_step):
        done = flags[row % rows, lane] & DONE
        row = _next_row(flags, row, lane, end)
        if row >= end:
            return -1
        if done:
            break
    return row


@kernel
def _has_stack(flags: np.ndarray, oldest: int, row: int, lane: int, stack: int) -> bool:
    """Tell whether the frames of the stack that ends at `row` are there."""
    for _ in range(stack - 1):
        if flags[row % flags.shape[0], lane] & FIRST:
            return True
        row = _row_before(flags, row, lane, oldest)
        if row < 0:
            return False
    return True


@kernel
def have_stacks(flags: np.ndarray, oldest: int, numbers: np.ndarray, stack: int) -> np.ndarray:
    """Tell where the frames of the stack that ends at a row are there, bool [N].

    numbers: row * L + lane, int64 [N].
    """
    lanes = flags.shape[1]
    found = np.empty(numbers.size, np.bool_)
    for index in range(numbers.size):
        row, lane = divmod(numbers[index], lanes)
        found[index] = _has_stack(flags, oldest, row, lane, stack)
    return found


@kernel
def _list_stack(flags: np.ndarray, oldest: int, row: int, lane: int, frames: np.ndarray) -> None:
    """Fill `frames` [K] with the frame numbers of the stack that ends at `row`, -1 for a blank."""
    rows, lanes = flags.shape
    for place in range(len(frames) - 1, -1, -1):
        frames[place] = row * lanes + lane if row >= 0 else -1
        if row >= 0:
            first = flags[row % rows, lane] & FIRST
            row = -1 if first else _row_before(flags, row, lane, oldest)


@kernel
def list_stacks(
    flags: np.ndarray, oldest: int, row: np.ndarray, lane: np.ndarray, frames: np.ndarray
) -> None:
    """Fill `frames` [B, K] with the stacks that end at rows and lanes, int64 [B]."""
    for index in range(len(row)):
        _list_stack(flags, oldest, row[index], lane[index], frames[index])


@kernel
def count_sampleable(
    flags: np.ndarray, low: int, oldest: int, end: int, n_step: int, stack: int, most: int
) -> int:
    """Count the transitions of rows [low, end) that may be drawn, up to `most`."""
    count = 0
    for row in range(low, end):
        for lane in range(flags.shape[1]):
            if count >= most:
                return most
            if _bootstrap_row(flags, end, row, lane, n_step) >= 0:
                count += _has_stack(flags, oldest, row, lane, stack)
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
        following = _bootstrap_row(flags, end, row, lane, n_step)
        if following < 0 or not _has_stack(flags, oldest, row, lane, stack):
            continue
        total, power, last, source = 0.0, 1.0, row, row
        while source < following:
            value = reward[source % rows, lane]
            total += power * (np.sign(value) if clip_rewards else value)
            power *= discount
            last, source = source, _next_row(flags, source, lane, following)
        terminated = flags[last % rows, lane] & TERMINATED
        n_step_return[filled] = total
        bootstrap_discount[filled] = 0.0 if terminated else power
        chosen[filled] = number
        _list_stack(flags, oldest, row, lane, frames[0, filled])
        _list_stack(flags, oldest, following, lane, frames[1, filled])
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
