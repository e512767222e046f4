"""The supervised policy of AlphaGo: which move was played next, told from the planes.

Legend: B samples, C planes, H W board, A points.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.alphago.collection import Filters
from agents.alphago.networks import build_policy_network
from agents.alphago.policy_config import GoPolicyConfig
from agents.alphago.positions import TEST, TRAINING, VALIDATION, compiled, observe_all
from core.agent import Assessment
from core.learner import Arithmetic
from envs.games.go.alphago_planes import POLICY_PLANES
from envs.games.go.ladders import ladder_boards
from tasks.problem import Scored, Stop, standard_error

BATCH = 512
"""Positions of one forward pass when scoring."""
MOST_VALIDATED = 10_000
"""Positions of a validation, the same each time; the test has them all."""
FIRST_CHOICES = (1, 5)


class MovePrediction:
    """The positions of a collection, turned and mirrored for training, and how well their next
    moves are told."""

    def __init__(self, config: GoPolicyConfig) -> None:
        """Compile or map the data. Raises UserError when they are not here or damaged."""
        self.config = config
        filters = Filters(
            config.size, config.lowest_rank, config.most_handicap, config.fewest_moves
        )
        self.positions = compiled(Path(config.data), filters, _note)
        self.parts = [self.positions.samples(part) for part in (TRAINING, VALIDATION, TEST)]
        self.num_examples = len(self.parts[TRAINING])
        every = max(1, len(self.parts[VALIDATION]) // MOST_VALIDATED)
        self.validated = self.parts[VALIDATION][::every]
        self._symmetries = symmetries(config.size)
        self._boards = ladder_boards(config.size)

    def build_network(self) -> nn.Module:
        """The tower, or an image network with a class for each point.

        Raises:
            UserError: it cannot take boards of this size.
        """
        return build_policy_network(self.config)

    def batch(self, examples: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Planes uint8 [B, C, H, W] and moves int64 [B], each turned at random."""
        batch = self._observed(self.parts[TRAINING][examples])
        if not self.config.augment:
            return batch
        turns = random.integers(8, size=len(examples))
        turn_boards(batch["planes"], turns, self._symmetries)
        turn_moves(batch["moves"], turns, self._symmetries)
        return batch

    def _observed(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        samples = self.positions.read(numbers)
        size = self.config.size
        planes = np.empty((len(numbers), POLICY_PLANES, size, size), np.uint8)
        observe_all(samples.states, self._boards, planes)
        return {"planes": planes, "moves": samples.moves}

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the move played, and how often it was the first choice."""
        logits = network(batch["planes"].float()).float()  # [B, A]
        smoothing = self.config.training.label_smoothing
        loss = F.cross_entropy(logits, batch["moves"], label_smoothing=smoothing)
        right = (logits.detach().argmax(dim=1) == batch["moves"]).float()
        return loss, {"accuracy": right.mean()}

    def validate(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Assessment | None:
        """Top-1 and top-5 accuracy on positions of games not learned from."""
        if not len(self.validated):
            return None
        found = self._measure(network, arithmetic, self.validated, stop)
        if found is None:
            return None
        (first, five), loss = found[0] / len(self.validated), found[1]
        scalars = {
            "validation/accuracy": first,
            "validation/top_5": five,
            "validation/loss": loss,
        }
        text = f"validation accuracy {first:.2%}, top 5 {five:.2%}, loss {loss:.4f}"
        return Assessment([float(first)], float(first), scalars, text)

    def test(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Scored | None:
        """Top-1 and top-5 accuracy on the test games."""
        numbers = self.parts[TEST]
        found = self._measure(network, arithmetic, numbers, stop)
        if found is None:
            return None
        (first, five), loss = found[0] / max(1, len(numbers)), found[1]
        error = standard_error(int(found[0][0]), max(1, len(numbers)))
        return Scored(
            {"accuracy": float(first), "standard_error": error, "top_5": float(five), "loss": loss},
            [
                f"test accuracy {first:.2%} ± {error:.2%} (standard error), top 5 {five:.2%}, loss "
                f"{loss:.4f}, on {len(numbers):,} positions of games not learned from"
            ],
        )

    @torch.no_grad()
    def _measure(
        self, network: nn.Module, arithmetic: Arithmetic, numbers: np.ndarray, stop: Stop
    ) -> tuple[np.ndarray, float] | None:
        """How often the move was among the first choices, int64 [2], and the mean loss; None where
        it was stopped."""
        right, loss = np.zeros(len(FIRST_CHOICES), np.int64), 0.0
        for first in range(0, len(numbers), BATCH):
            if stop():
                return None
            batch = self._observed(numbers[first : first + BATCH])
            with arithmetic.autocast():
                logits = network(arithmetic.tensor(batch["planes"]).float()).float()
            moves = arithmetic.tensor(batch["moves"])
            loss += float(F.cross_entropy(logits, moves, reduction="sum"))
            played = logits.gather(1, moves[:, None])
            better = (logits > played).sum(dim=1)
            right += [int((better < choices).sum()) for choices in FIRST_CHOICES]
        return right, loss / max(1, len(numbers))

    def pictures(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """None."""
        return {}

    def identity(self) -> dict[str, Any]:
        """The games' digest."""
        return {"data": self.positions.facts["digest"]}

    def describe(self) -> list[str]:
        """How many games and positions."""
        training, validation, test = (f"{len(part):,}" for part in self.parts)
        return [
            f"{self.positions.facts['games']:,} games on {self.config.size} lines: {training} "
            f"positions to learn from, {validation} for validation, {test} for the test"
        ]


def symmetries(size: int) -> np.ndarray:
    """The eight maps of the board onto itself, int64 [8, A]: for each point, the one it shows."""
    cells = np.arange(size * size).reshape(size, size)
    turned = [np.rot90(board, turns) for board in (cells, cells.T) for turns in range(4)]
    return np.stack([board.ravel() for board in turned])


def turn_boards(planes: np.ndarray, turns: np.ndarray, maps: np.ndarray) -> None:
    """Turn boards [B, C, H, W] in place, each by one of `symmetries`, int64 [B]."""
    flat = planes.reshape(*planes.shape[:2], -1)
    for turn, source in enumerate(maps):
        rows = turns == turn
        flat[rows] = flat[rows][:, :, source]


def turn_moves(moves: np.ndarray, turns: np.ndarray, maps: np.ndarray) -> None:
    """Turn moves, int64 [B], in place as `turn_boards` turns their boards."""
    for turn, source in enumerate(maps):
        rows = turns == turn
        moves[rows] = np.argsort(source)[moves[rows]]


def _note(text: str) -> None:
    """Compiling comes before the run's own lines, and may take minutes."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
