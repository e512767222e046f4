"""Games in progress: what the searches said of each move, until the game tells who won.

Legend: L lanes, A actions, R rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agents.zero.store import GameRecord
from envs.games.state import FIRST
from search.tree_search import SearchResult


@dataclass
class GameInProgress:
    """One lane's game."""

    komi: int
    """In half points"""
    opening: int
    """Moves drawn from the bare policy"""
    played_on: bool
    """Never given up, to check giving up"""
    moves: list[int] = field(default_factory=list)
    plies: list[int] = field(default_factory=list)
    """Moves before each row"""
    policies: list[np.ndarray] = field(default_factory=list)
    """float16 [A] a row"""
    surprises: list[float] = field(default_factory=list)
    """Divergence of the search's policy from the network's, a row"""
    lowest: list[float] = field(default_factory=lambda: [1.0, 1.0])
    """Each player's worst expected outcome over two own moves in a row"""
    last: list[float] = field(default_factory=lambda: [1.0, 1.0])
    """Each player's expected outcome at the last own move"""
    expected: list[float] = field(default_factory=list)
    """The outcome that each search expected, for the first player"""

    def think(self, player: int, value: float) -> float:
        """Note an expected outcome; return the better of the last two: giving up needs both."""
        settled = max(self.last[player], value)
        self.last[player] = value
        self.expected.append(value if player == FIRST else -value)
        self.lowest[player] = min(self.lowest[player], settled)
        return settled

    def hope(self, below: float, moves: int) -> float:
        """lambda: while one side expected less than `below` at each of the last so many moves, how
        far it is from certain loss, 0, to `below`, 1; else 1."""
        last = np.array(self.expected[-moves:])
        for losing in (last, -last):
            if len(last) == moves and below > -1 and losing.max() < below:
                return max(0.0, float(1 + losing[-1]) / (1 + below))
        return 1.0

    def lost_hope(self, below: float, moves: int) -> list[bool]:
        """Whether each player once expected less than `below` at so many moves in a row."""
        if len(self.expected) < moves:
            return [False, False]
        runs = np.lib.stride_tricks.sliding_window_view(np.array(self.expected), moves)
        return [bool((sign * runs < below).all(axis=1).any()) for sign in (1, -1)]

    def learn_from(self, policy: np.ndarray, surprise: float) -> None:
        """Make a row of the position about to be played; `policy` is float16 [A]."""
        self.plies.append(len(self.moves))
        self.policies.append(policy)
        self.surprises.append(surprise)

    def record(
        self, outcome: int, margin: int, resigned: bool, surprise_share: float, rng: Any
    ) -> GameRecord:
        """The finished game."""
        rows = len(self.plies)
        weights = np.ones(rows)
        total = sum(self.surprises)
        if total > 0:
            share = np.maximum(np.array(self.surprises), 0.0) / total
            weights = (1 - surprise_share) + surprise_share * rows * share
        copies = np.floor(weights + rng.random(rows)).clip(0, 255).astype(np.uint8)
        actions = len(self.policies[0]) if rows else 0
        return GameRecord(
            self.komi,
            np.array(self.moves, np.int16),
            outcome,
            margin,
            resigned,
            np.array(self.plies, np.int16),
            np.stack(self.policies) if rows else np.zeros((0, actions), np.float16),
            copies,
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything, as plain values and arrays."""
        return {
            "komi": self.komi,
            "opening": self.opening,
            "played_on": self.played_on,
            "moves": np.array(self.moves, np.int16),
            "plies": np.array(self.plies, np.int16),
            "policies": np.array(self.policies, np.float16),
            "surprises": np.array(self.surprises, np.float64),
            "lowest": list(self.lowest),
            "last": list(self.last),
            "expected": np.array(self.expected, np.float64),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> GameInProgress:
        """Continue from `state_dict`."""
        return cls(
            int(state["komi"]),
            int(state["opening"]),
            bool(state["played_on"]),
            np.asarray(state["moves"]).tolist(),
            np.asarray(state["plies"]).tolist(),
            list(np.asarray(state["policies"])),
            np.asarray(state["surprises"]).tolist(),
            list(state["lowest"]),
            list(state["last"]),
            np.asarray(state["expected"]).tolist(),
        )


def surprises(target: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Divergence of the search's policy [L, A] from the network's [L, A], float32 [L]."""
    ratio = np.log(np.maximum(target, 1e-12) / np.maximum(priors, 1e-12))
    divergences: np.ndarray = (target * ratio).sum(axis=1)
    return divergences


def without_passes(result: SearchResult, early: np.ndarray) -> SearchResult:
    """Leave the pass, the last action, out of what was found in early positions, bool [G].

    Where nothing but a pass is legal it stays.
    """
    early = early & (result.priors[:, :-1].sum(axis=1) > 0)
    priors, target = result.priors.copy(), result.policy_target.copy()
    priors[early, -1] = target[early, -1] = 0.0
    # A search that is sure of the pass may give the others less than a float can hold.
    certain = early & (target.sum(axis=1) < 1e-12)
    target[certain] = priors[certain]
    target[early] /= target[early].sum(axis=1, keepdims=True)
    passing = early & (result.actions == target.shape[1] - 1)
    actions = np.where(passing, target.argmax(axis=1), result.actions)
    return replace(result, actions=actions, priors=priors, policy_target=target)


def draw_openings(
    result: SearchResult, lanes: np.ndarray, temperature: float, rng: Any
) -> np.ndarray:
    """Actions drawn from the bare policy for some lanes, int64 [len(lanes)]."""
    with np.errstate(divide="ignore"):
        logits = np.log(result.priors[lanes]) / temperature
    drawn: np.ndarray = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    return drawn
