"""Playouts that choose moves by their patterns: a linear softmax, after Silver et al. 2016.

A move's chance is proportional to exp(sum of the weights of its features). Shapes are kept up
to date (`watch.py`); the other features belong to moves near the previous one (`special.py`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.errors import UserError
from core.machine.kernels import kernel
from core.machine.random_numbers import random_unit
from envs.games.go.board import KO, PASSES, ROW, SIZE, cell_of, point_of
from envs.games.go.patterns import TABLE_SIZE, places_of_shapes
from envs.games.go.rules import decide
from envs.games.go.special import find_special
from envs.games.go.watch import (
    CLOCK,
    GRAIN,
    factor_at,
    make_watch,
    play_watched,
    row_at,
    special_at,
    special_mark_at,
    watch_position,
)
from envs.games.state import LAST_ACTION, TO_MOVE

SHIPPED = Path(__file__).resolve().parents[3] / "pretrained" / "go-rollout" / "weights.safetensors"
_LARGEST = 4096
_HEAVIEST = 2.0**30
_LARGEST_WEIGHT = 20.0
"""Of a file; the factors of a move's few features are multiplied, and must stay finite."""


class Policy(NamedTuple):
    """Weights made ready for playouts, with scratch memory: one for each thread."""

    shapes: np.ndarray
    """Factor of each shape in 1/GRAIN, 0 where a playout must not play, int32 [SHAPE_CODES]"""
    factors: np.ndarray
    """exp of each weight, float32 [TABLE_SIZE]"""
    watch: np.ndarray


def make_policy(weights: np.ndarray) -> Policy:
    """Make weights, float [TABLE_SIZE], ready for playouts."""
    if weights.shape != (TABLE_SIZE,):
        raise ValueError(f"weights have the shape {weights.shape}, not ({TABLE_SIZE},)")
    factors = np.exp(weights.astype(np.float64))
    grains = np.clip(np.round(factors * GRAIN), 1, _LARGEST * GRAIN)
    places = places_of_shapes()
    shapes = np.where(places >= 0, grains[places], 0)
    return Policy(shapes.astype(np.int32), factors.astype(np.float32), make_watch())


def another_thread(policy: Policy) -> Policy:
    """The same weights with scratch memory of their own."""
    return policy._replace(watch=make_watch())


@cache
def load_policy(path: Path = SHIPPED) -> Policy:
    """Read learned weights.

    Raises:
        UserError: the file is missing or holds something else.
    """
    from core.files.tensor_file import TensorFileError, read, to_array

    try:
        weights = to_array(read(path)[0]["weights"])
    except (OSError, KeyError, TensorFileError) as error:
        raise UserError(f"{path} holds no weights of a rollout policy: {error}") from error
    if weights.shape != (TABLE_SIZE,) or not (np.abs(weights) <= _LARGEST_WEIGHT).all():
        raise UserError(
            f"{path} holds no weights of a rollout policy, {TABLE_SIZE} numbers from "
            f"{-_LARGEST_WEIGHT:g} to {_LARGEST_WEIGHT:g}"
        )
    return make_policy(weights)


@kernel
def weigh(
    state: np.ndarray,
    watch: np.ndarray,
    factors: np.ndarray,
    colour: int,
    previous: int,
    captured: int,
) -> tuple[int, int, int]:
    """Weigh all moves; return the number of special ones, the sum of their weights, the others'.

    A special move's weight stands in its record (`watch.py`), another's is that of its shape.
    Arguments as for `find_special`.
    """
    player = colour - 1
    others, specials = _sum_of_rows(state, watch, player), 0
    count = find_special(state, watch, colour, previous, captured)
    for index in range(count):
        record = special_at(index)
        point = watch[record]
        others -= watch[factor_at(player, point)]
        weight = float(watch[factor_at(player, point)])
        for feature in range(watch[record + np.uint64(2)]):
            weight *= factors[watch[record + np.uint64(3 + feature)]]
        # Simple ko forbids a point next to the previous move, which is special.
        weight = 0.0 if point == state[KO] else min(weight, _HEAVIEST)
        watch[record + np.uint64(1)] = np.int32(weight)
        specials += int(weight)
    return count, specials, others


@kernel
def _sum_of_rows(state: np.ndarray, watch: np.ndarray, player: int) -> int:
    total = 0
    for row in range(1, state[SIZE] + 1):
        total += watch[row_at(player, row)]
    return total


@kernel
def choose(
    state: np.ndarray,
    watch: np.ndarray,
    factors: np.ndarray,
    colour: int,
    previous: int,
    captured: int,
    rng: np.ndarray,
) -> int:
    """Draw a point in proportion to its weight; 0 where there is none. Arguments as for `weigh`."""
    player = colour - 1
    _, specials, others = weigh(state, watch, factors, colour, previous, captured)
    if specials + others == 0:
        return 0
    left = int(random_unit(rng) * (specials + others))
    if left < specials:
        index = 0
        while left >= watch[special_at(index) + np.uint64(1)]:
            left -= watch[special_at(index) + np.uint64(1)]
            index += 1
        return watch[special_at(index)]
    total = _sum_of_rows(state, watch, player)
    while True:  # rejection leaves the special ones out
        point = _draw_by_shape(watch, player, int(random_unit(rng) * total))
        if watch[special_mark_at(point)] != watch[CLOCK]:
            return point


@kernel
def _draw_by_shape(watch: np.ndarray, player: int, left: int) -> int:
    """The point at which the running sum of the factors passes `left`."""
    row = 1
    while left >= watch[row_at(player, row)]:
        left -= watch[row_at(player, row)]
        row += 1
    point = row * ROW + 1
    while left >= watch[factor_at(player, point)]:
        left -= watch[factor_at(player, point)]
        point += 1
    return point


@kernel
def move_weights(
    state: np.ndarray,
    watch: np.ndarray,
    factors: np.ndarray,
    colour: int,
    previous: int,
    captured: int,
    out: np.ndarray,
) -> None:
    """Write the weight of every cell, float64 [H * W], in 1/GRAIN. Arguments as for `weigh`."""
    size = state[SIZE]
    count, _, _ = weigh(state, watch, factors, colour, previous, captured)
    for cell in range(size * size):
        out[cell] = watch[factor_at(colour - 1, point_of(size, cell))]
    for index in range(count):
        record = special_at(index)
        out[cell_of(size, watch[record])] = watch[record + np.uint64(1)]


@kernel
def previous_point(state: np.ndarray) -> int:
    """The point of the last move, 0 after a pass or before the first move."""
    size = state[SIZE]
    played = 0 <= state[LAST_ACTION] < size * size
    return point_of(size, state[LAST_ACTION]) if played else 0


@kernel
def pattern_chances(state: np.ndarray, mask: np.ndarray, policy: Policy, out: np.ndarray) -> None:
    """Write how likely the policy plays each legal action, float64 [A]; `mask` uint8 [A].

    A pass has the share 1 / (k + 1) beside k moves that the policy may play.
    """
    shapes, factors, watch = policy
    cells = state[SIZE] * state[SIZE]
    watch_position(state, watch, shapes)
    move_weights(state, watch, factors, state[TO_MOVE] + 1, previous_point(state), 0, out)
    total, moves = 0.0, 0
    for cell in range(cells):
        if mask[cell] == 0:
            out[cell] = 0.0
        total += out[cell]
        moves += out[cell] > 0
    out[cells] = total / moves if moves else 1.0
    total += out[cells]
    for action in range(cells + 1):
        out[action] /= total


@kernel
def pattern_playout(state: np.ndarray, rng: np.ndarray, mask: np.ndarray, policy: Policy) -> None:
    """Play to the end by the policy, never filling an own eye; sets OUTCOME.

    Ends as `rules.playout` does. Marks in `mask`, uint8 [A], who was the first to play at each
    cell: 0 nobody, 1 the first player, 2 the second.
    """
    size = state[SIZE]
    shapes, factors, watch = policy
    mask[:] = 0
    watch_position(state, watch, shapes)
    colour = state[TO_MOVE] + 1
    previous, captured, moves = previous_point(state), 0, 0
    while state[PASSES] < 2 and moves < 3 * size * size:
        point = choose(state, watch, factors, colour, previous, captured, rng)
        if point:
            captured = play_watched(state, watch, shapes, point, colour)
            state[PASSES] = 0
            cell = cell_of(size, point)
            if mask[cell] == 0:
                mask[cell] = colour
        else:
            state[PASSES] += 1
            state[KO] = captured = 0
        previous = point
        colour = 3 - colour
        moves += 1
    decide(state)
