"""Many games at once between policies that draw their moves, a forward pass of a batch each.

A policy knows no pass: it draws among the moves that are sensible, legal and no own eye filled, and
passes where there is none. So games end when both sides have filled what is not theirs.

Legend: G games, B positions, C planes, H W board, A points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from agents.alphago.policy import symmetries, turn_boards
from agents.alphago.positions import observe_all
from core.learner import Arithmetic
from envs.games.go.alphago_planes import POLICY_PLANES, SENSIBLE
from envs.games.go.game import GO
from envs.games.go.ladders import ladder_boards
from envs.games.state import HEIGHT, OUTCOME, UNDECIDED, WIDTH

BATCH = 1024
"""Positions of one forward pass."""
_NEVER = -1e9


@dataclass(frozen=True)
class Choice:
    """Moves that were chosen."""

    actions: np.ndarray
    """int64 [B]; A is a pass."""
    planes: np.ndarray
    """As the policy saw them, turned or not, uint8 [B, C, H, W]"""
    moves: np.ndarray
    """The actions on those boards, int64 [B]; a pass is the point 0 and not `drawn`."""
    drawn: np.ndarray
    """Where the policy had a choice, bool [B]"""


class Chooser(Protocol):
    """Chooses moves of many games."""

    def choose(self, states: np.ndarray, random: np.random.Generator) -> Choice:
        """Moves for positions, int32 [B, W], that are not over."""


class PolicyPlayer:
    """A policy network that draws its moves."""

    def __init__(
        self, network: nn.Module, arithmetic: Arithmetic, size: int, turn: bool = False
    ) -> None:
        """`turn`: show each position to the network turned or mirrored at random."""
        self.network, self.arithmetic, self.size = network, arithmetic, size
        self._symmetries = symmetries(size) if turn else None
        self._boards = ladder_boards(size)

    @torch.no_grad()
    def choose(self, states: np.ndarray, random: np.random.Generator) -> Choice:
        """Draw from the softmax over the sensible points."""
        planes = np.empty((len(states), POLICY_PLANES, self.size, self.size), np.uint8)
        observe_all(states, self._boards, planes)
        turns = np.zeros(len(states), np.int64)
        if self._symmetries is not None:
            turns = random.integers(8, size=len(states))
            turn_boards(planes, turns, self._symmetries)
        sensible = planes[:, SENSIBLE].reshape(len(states), -1) > 0
        moves = draw(self._logits(planes), sensible, random)
        drawn = np.asarray(sensible.any(axis=1))
        actions = moves if self._symmetries is None else self._symmetries[turns, moves]
        return Choice(np.where(drawn, actions, self.size**2), planes, moves, drawn)

    def _logits(self, planes: np.ndarray) -> np.ndarray:
        self.network.eval()
        parts = []
        for first in range(0, len(planes), BATCH):
            batch = self.arithmetic.tensor(planes[first : first + BATCH]).float()
            with self.arithmetic.autocast():
                parts.append(self.network(batch).float().cpu().numpy())
        return np.concatenate(parts)


class UniformPlayer:
    """Draws any legal point, and passes where there is none."""

    def choose(self, states: np.ndarray, random: np.random.Generator) -> Choice:
        """Draw uniformly; there are no planes."""
        cells, actions = int(states[0, HEIGHT] * states[0, WIDTH]), []
        mask = np.zeros(cells + 1, np.uint8)
        for state in states:
            GO.legal(state, mask)
            points = np.flatnonzero(mask[:-1])
            actions.append(int(random.choice(points)) if len(points) else cells)
        none = np.zeros(len(states), np.bool_)
        return Choice(np.array(actions), np.zeros((0, 0, 0, 0), np.uint8), none.astype(int), none)


def draw(logits: np.ndarray, allowed: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw from the softmax over the allowed places, bool [B, A]; int64 [B], 0 where none is."""
    masked = np.where(allowed, logits.astype(np.float64), _NEVER)
    noise = random.gumbel(size=masked.shape)
    chosen: np.ndarray = np.where(allowed, masked + noise, -np.inf).argmax(axis=1)
    return chosen


def play_games(
    states: np.ndarray,
    players: Sequence[Chooser],
    whose: Callable[[np.ndarray], np.ndarray],
    random: np.random.Generator,
    told: Callable[[int, np.ndarray, Choice], None],
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Play positions, int32 [G, W], to their ends in place, all games a move at a time.

    Args:
        states: where the games begin.
        players: who choose.
        whose: the player whose turn it is in each position, int64 [G].
        random: of all choices.
        told: after each batch: the player, the games int64 [B], the choice.
        stop: asked at every move.

    Returns:
        Whether all games ended.
    """
    while (going := states[:, OUTCOME] == UNDECIDED).any():
        if stop():
            return False
        turn = whose(states)
        for number, player in enumerate(players):
            games = np.flatnonzero(going & (turn == number))
            if not len(games):
                continue
            choice = player.choose(states[games], random)
            for game, action in zip(games.tolist(), choice.actions.tolist(), strict=True):
                GO.play(states[game], action)
            told(number, games, choice)
    return True
