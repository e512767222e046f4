"""The rollout policy of Silver et al. 2016 learned from games: maximum likelihood by plain SGD.

The policy is a softmax over the moves that a playout may make (legal under simple ko, no own eye);
a move's logit is the sum of the weights of its features (`envs/games/go/patterns.py`).

Legend: G games, M moves of all games, P places in the table of weights, C candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.machine.kernels import kernel
from envs.games.go.board import COLOUR, EMPTY, KO, ROW, SIZE, at, point_of
from envs.games.go.game import GO
from envs.games.go.patterns import TABLE_SIZE, other_colour, places_of_shapes, shape_of
from envs.games.go.rollout import make_policy
from envs.games.go.special import find_special
from envs.games.go.watch import (
    LIBERTIES_AT,
    MOST_FEATURES,
    factor_at,
    play_watched,
    special_at,
    watch_position,
)
from envs.games.options import GoOptions
from envs.games.sgf.record import GameRecord
from envs.games.state import copy_state

_PASS = -1
_TWO = np.uint64(2)


class Games(NamedTuple):
    """Games on boards of one size as moves."""

    cells: np.ndarray
    """Cell of each move, -1 a pass, int32 [M]"""
    colours: np.ndarray
    """1 Black, 2 White, int32 [M]"""
    starts: np.ndarray
    """Where each game begins, and the end, int64 [G + 1]"""


class Counts(NamedTuple):
    """What was seen of a set of games."""

    moves: int
    """Moves that a playout could have made."""
    other_moves: int
    """Moves that it does not make: into own eyes, illegal under its rules."""
    accuracy: float
    """Share of all moves that the policy thinks likeliest; of equals, each counts its part."""
    log_loss: float
    """Mean of -log(chance of the move) over `moves`."""


@dataclass(frozen=True)
class Learning:
    """How weights are learned."""

    epochs: int = 8
    rate: float = 0.05
    """Step size at the start; it falls on a straight line to a tenth."""
    seed: int = 0


def gather(records: Sequence[GameRecord], size: int) -> Games:
    """Take the games on boards of one size that begin with an empty board."""
    chosen = [
        record.moves
        for record in records
        if record.size == size and not (record.black_stones or record.white_stones)
    ]
    moves = [move for game in chosen for move in game]
    cells = np.array([_PASS if cell is None else cell for _, cell in moves], np.int32)
    colours = np.array([colour for colour, _ in moves], np.int32)
    starts = np.cumsum([0, *(len(game) for game in chosen)], dtype=np.int64)
    return Games(cells, colours, starts)


def split(games: Games, held_out: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw the numbers of the games to learn from and of those held out, int64 each."""
    order = np.random.default_rng(seed).permutation(len(games.starts) - 1)
    count = round(held_out * len(order))
    return order[count:], order[:count]


class RolloutLearner:
    """Weights of a policy, and the passes over games that teach and test them."""

    def __init__(self, size: int, weights: np.ndarray | None = None) -> None:
        self.weights = np.zeros(TABLE_SIZE, np.float32) if weights is None else weights
        """float32 [P]"""
        self._empty = GO.initial_state(GoOptions(size=size, rules="chinese"))
        self._policy = make_policy(np.zeros(TABLE_SIZE, np.float32))

    def learn(self, games: Games, chosen: np.ndarray, how: Learning) -> Iterator[Counts]:
        """Go through the chosen games, shuffled, once an epoch; yield what was seen in each."""
        rng = np.random.default_rng(how.seed)
        for epoch in range(how.epochs):
            rate = how.rate * (1 - 0.9 * epoch / max(1, how.epochs - 1))
            yield self._go_through(games, rng.permutation(chosen), rate)

    def test(self, games: Games, chosen: np.ndarray) -> Counts:
        """Judge the chosen games without learning."""
        return self._go_through(games, chosen, 0.0)

    def _go_through(self, games: Games, chosen: np.ndarray, rate: float) -> Counts:
        shapes, _, watch = self._policy
        totals = np.zeros(4)
        _learn_games(
            games.cells, games.colours, games.starts, chosen, self._empty, self._empty.copy(),
            watch, shapes, places_of_shapes(), self.weights, rate, totals,
        )  # fmt: skip
        moves, others, right, loss = totals
        return Counts(int(moves), int(others), right / max(moves + others, 1), loss / max(moves, 1))


@kernel
def list_candidates(
    state: np.ndarray,
    watch: np.ndarray,
    places: np.ndarray,
    colour: int,
    previous: int,
    captured: int,
    cells: np.ndarray,
    features: np.ndarray,
) -> int:
    """List the moves that a playout may make, and the places of their weights; return their number.

    Args:
        state: a position that `watch` watches.
        watch: see `envs/games/go/watch.py`.
        places: what `places_of_shapes` gives.
        colour, previous, captured: as for `find_special`.
        cells: int32 [C], written.
        features: int32 [C, 1 + MOST_FEATURES], written; -1 where a move has no more.
    """
    size, count = state[SIZE], 0
    rows = np.full((size + 2) * ROW, -1, np.int32)
    for cell in range(size * size):
        point = point_of(size, cell)
        if watch[factor_at(colour - 1, point)] == 0 or point == state[KO]:
            continue
        code = shape_of(state, watch, LIBERTIES_AT, point)
        features[count, 0] = places[code if colour == 1 else other_colour(code)]
        features[count, 1:] = -1
        cells[count] = cell
        rows[point] = count
        count += 1
    for index in range(find_special(state, watch, colour, previous, captured)):
        record = special_at(index)
        row = rows[watch[record]]
        if row >= 0:
            for feature in range(watch[record + _TWO]):
                features[row, 1 + feature] = watch[record + np.uint64(3 + feature)]
    return count


@kernel
def learn_choice(
    weights: np.ndarray, features: np.ndarray, count: int, chosen: int, rate: float
) -> tuple[float, float]:
    """Move weights up the gradient of log(chance of the chosen candidate).

    Args:
        weights: float32 [P], changed unless the rate is 0.
        features: as `list_candidates` writes them.
        count: number of candidates.
        chosen: the row of one of them.
        rate: step size.

    Returns:
        log(chance), and the chosen one's share among the likeliest: 1, less among equals, or 0.
    """
    chances = np.zeros(count)
    for row in range(count):
        for feature in features[row]:
            if feature >= 0:
                chances[row] += weights[feature]
    top = np.max(chances)
    share = 1.0 / np.sum(chances == top) if chances[chosen] == top else 0.0
    chances -= top + np.log(np.sum(np.exp(chances - top)))
    log_chance = chances[chosen]
    if rate > 0:
        for row in range(count):
            step = rate * ((row == chosen) - np.exp(chances[row]))
            for feature in features[row]:
                if feature >= 0:
                    weights[feature] += step
    return log_chance, share


@kernel
def _learn_games(
    cells: np.ndarray,
    colours: np.ndarray,
    starts: np.ndarray,
    chosen: np.ndarray,
    empty: np.ndarray,
    state: np.ndarray,
    watch: np.ndarray,
    shapes: np.ndarray,
    places: np.ndarray,
    weights: np.ndarray,
    rate: float,
    totals: np.ndarray,
) -> None:
    """Learn from all moves of the chosen games; totals: moves, others, right, -log chances."""
    size = empty[SIZE]
    rows = np.empty(size * size, np.int32)
    features = np.empty((size * size, 1 + MOST_FEATURES), np.int32)
    for game in chosen:
        copy_state(empty, state)
        watch_position(state, watch, shapes)
        previous, captured = 0, 0
        for move in range(starts[game], starts[game + 1]):
            cell, colour = cells[move], colours[move]
            if cell < 0:
                previous = captured = state[KO] = 0
                continue
            point = point_of(size, cell)
            if state[at(point) + COLOUR] != EMPTY:
                break  # the record is wrong from here on
            count = list_candidates(
                state, watch, places, colour, previous, captured, rows, features
            )
            row = np.searchsorted(rows[:count], cell)
            if row < count and rows[row] == cell:
                log_chance, share = learn_choice(weights, features, count, row, rate)
                totals[0] += 1
                totals[2] += share
                totals[3] -= log_chance
            else:
                totals[1] += 1
            captured = play_watched(state, watch, shapes, point, colour)
            previous = point
