"""The value network of AlphaGo: who wins from a position, learned with the squared error.

One position of each game is learned, or all: then positions that differ by a stone share their
outcome, and the network remembers games instead of judging (Silver et al. 2016). Held-out errors
are always of one position a game.

Legend: B samples, C planes, H W board.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.alphago.collection import Filters
from agents.alphago.networks import build_value_network
from agents.alphago.policy import symmetries, turn_boards
from agents.alphago.positions import (
    TEST,
    TRAINING,
    VALIDATION,
    Positions,
    compiled,
    observe_all,
    part_of,
)
from agents.alphago.value_config import GoValueConfig
from agents.alphago.value_games import chunk_files, make_games, read_games
from core.agent import Assessment
from core.learner import Arithmetic
from envs.games.go.alphago_planes import VALUE_PLANES
from envs.games.go.ladders import ladder_boards
from envs.games.options import GoOptions
from tasks.problem import Scored, Stop

BATCH = 512
"""Positions of one forward pass when scoring."""
MOST_SCORED = 10_000
"""Positions of which an error is told, the same each time."""


class Outcomes:
    """Positions with the outcomes of their games, and how well these are told."""

    def __init__(self, config: GoValueConfig) -> None:
        """Make the games that are missing, and read all. Raises UserError where that fails."""
        self.config = config
        self.positions, one = positions_of(config)
        every = [self.positions.samples(part) for part in (TRAINING, VALIDATION, TEST)]
        known = np.flatnonzero(self.positions.results != 0)
        if chunk_files(Path(config.data)):
            first = first_decided(self.positions, one)
            every = [n[n >= first[self._games_of(n)]] for n in every]
        else:  # in files of others 0 may be an unknown result
            every = [n[np.isin(self._games_of(n), known)] for n in every]
            one = one[np.isin(self._games_of(one), known)]
        where = self.positions.parts[self._games_of(one)]
        single = [one[where == part] for part in (TRAINING, VALIDATION, TEST)]
        self.learned = single[TRAINING] if config.positions == "one" else every[TRAINING]
        self.held_out = {VALIDATION: single[VALIDATION], TEST: single[TEST]}
        self.num_examples = len(self.learned)
        self._symmetries = symmetries(config.size)
        self._boards = ladder_boards(config.size)

    def _games_of(self, numbers: np.ndarray) -> np.ndarray:
        games: np.ndarray = np.searchsorted(self.positions.starts, numbers, side="right") - 1
        return games

    def build_network(self) -> nn.Module:
        """The tower, or an image network. Raises UserError where it cannot take the board."""
        return build_value_network(self.config)

    def batch(self, examples: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Planes uint8 [B, C, H, W], each turned at random, and outcomes float32 [B]."""
        batch = self._observed(self.learned[examples])
        if self.config.augment:
            turn_boards(batch["planes"], random.integers(8, size=len(examples)), self._symmetries)
        return batch

    def _observed(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        samples, size = self.positions.read(numbers), self.config.size
        planes = np.empty((len(numbers), VALUE_PLANES, size, size), np.uint8)
        observe_all(samples.states, self._boards, planes)
        return {"planes": planes, "outcomes": samples.results.astype(np.float32)}

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error of the outcome."""
        values = network(batch["planes"].float()).float()
        return (values - batch["outcomes"]).square().mean(), {}

    def validate(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Assessment | None:
        """Squared errors on games not learned from, and on what was learned."""
        found = self._errors(network, arithmetic, VALIDATION, stop)
        if found is None or not len(self.held_out[VALIDATION]):
            return None
        error, right, learned = found
        scalars = {"validation/error": error, "validation/right": right,
                   "training/error": learned}  # fmt: skip
        text = f"validation error {error:.4f}, training error {learned:.4f}, right {right:.1%}"
        return Assessment([error], -error, scalars, text)

    def test(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Scored | None:
        """The same on the test games."""
        found = self._errors(network, arithmetic, TEST, stop)
        if found is None:
            return None
        error, right, learned = found
        count = min(MOST_SCORED, len(self.held_out[TEST]))
        scores = {"error": error, "training_error": learned, "right": right}
        line = (
            f"test error {error:.4f}, training error {learned:.4f} (mean squares), the winner is "
            f"told {right:.1%}, on {count:,} positions of as many games not learned from"
        )
        return Scored(scores, [line])

    def _errors(
        self, network: nn.Module, arithmetic: Arithmetic, part: int, stop: Stop
    ) -> tuple[float, float, float] | None:
        """Squared error and share of winners told on a part, squared error on what was learned."""
        held_out = self._measure(network, arithmetic, self.held_out[part], stop)
        learned = self._measure(network, arithmetic, self.learned, stop)
        if held_out is None or learned is None:
            return None
        return *held_out, learned[0]

    @torch.no_grad()
    def _measure(
        self, network: nn.Module, arithmetic: Arithmetic, numbers: np.ndarray, stop: Stop
    ) -> tuple[float, float] | None:
        """Squared error and share of winners told; None where it was stopped."""
        numbers = numbers[:: max(1, len(numbers) // MOST_SCORED)][:MOST_SCORED]
        error, right = 0.0, 0
        for first in range(0, len(numbers), BATCH):
            if stop():
                return None
            batch = self._observed(numbers[first : first + BATCH])
            with arithmetic.autocast():
                values = network(arithmetic.tensor(batch["planes"]).float()).float().cpu().numpy()
            error += float(np.square(values - batch["outcomes"]).sum(dtype=np.float64))
            right += int((values * batch["outcomes"] > 0).sum())
        count = max(1, len(numbers))
        return error / count, right / count

    def pictures(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """None."""
        return {}

    def identity(self) -> dict[str, Any]:
        """The games, and which of their positions."""
        return {"games": self.positions.facts["digest"], "positions": self.config.positions}

    def describe(self) -> list[str]:
        """How many games and positions."""
        held_out = [len(self.held_out[part]) for part in (VALIDATION, TEST)]
        return [
            f"{self.config.data}: {len(self.positions.parts):,} games",
            f"{self.num_examples:,} positions to learn from ({self.config.positions} of a game), "
            f"{held_out[0]:,} to validate, {held_out[1]:,} to test",
        ]


def positions_of(config: GoValueConfig) -> tuple[Positions, np.ndarray]:
    """All positions, and the numbers of one of each game, int64: of games made here the first from
    which the reinforced policy alone decides. Raises UserError where there are none."""
    folder = Path(config.data)
    options = GoOptions(size=config.size, komi=config.komi, rules="chinese")
    if config.supervised:
        make_games(folder, config.games, options, _policies(config), config.run.seed, _note)
    if not chunk_files(folder):
        filters = Filters(config.size, config.lowest_rank)
        found = compiled(folder, filters, _note)
        lengths = np.diff(found.starts)
        drawn = np.random.default_rng(0).integers(lengths)
        numbers = found.starts[:-1] + drawn
        return found, numbers[found.moves[numbers] != config.size**2]
    games = read_games(folder, config.games, options)
    starts = np.cumsum([0, *games["lengths"].tolist()])
    bounds = zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    keys = [hashlib.sha256(games["moves"][a:b].tobytes()).hexdigest() for a, b in bounds]
    arrays = {
        "moves": games["moves"],
        "starts": starts,
        "stones": np.zeros(0, np.int16),
        "stones_at": np.zeros(len(starts), np.int64),
        "results": games["results"],
        "parts": np.array([part_of(key) for key in keys], np.uint8),
    }
    digest = hashlib.sha256("".join(keys).encode() + games["sampled"].tobytes()).hexdigest()
    there = games["sampled"] >= 0
    numbers = (starts[:-1] + games["sampled"])[there]
    return Positions(arrays, {"filters": {"size": config.size}, "digest": digest}), numbers


def first_decided(positions: Positions, one: np.ndarray) -> np.ndarray:
    """Of each game made here, int64 [N]: the first position from which the reinforced policy alone
    decides, one of `one`; the game's end where there is none."""
    first: np.ndarray = positions.starts[1:].copy()
    first[np.searchsorted(positions.starts, one, side="right") - 1] = one
    return first


def _policies(config: GoValueConfig) -> Callable[[], list[Any]]:
    """Makes the two policies from their runs."""

    def make() -> list[Any]:
        from agents.alphago.runs import policy_player

        runs = Path(config.supervised), Path(config.reinforced)
        return [policy_player(run, config.size, config.run.device) for run in runs]

    return make


def _note(text: str) -> None:
    """Making games comes before the run's own lines, and may take hours."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
