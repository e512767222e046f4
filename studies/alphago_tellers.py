"""Who tells the outcome of a position of Go: a value network, or games played on from it.

Legend: B positions, N rollouts, W words of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from agents.alphago.positions import observe_all
from agents.alphago.runs import load_policy_network, load_value_network
from agents.alphago.self_play import PolicyPlayer, play_games
from core.learner import Arithmetic
from core.machine.probe import resolve_device
from core.machine.random_numbers import random_state
from envs.games.go.alphago_planes import VALUE_PLANES
from envs.games.go.game import GO
from envs.games.go.ladders import ladder_boards
from envs.games.go.rollout import load_policy, pattern_playout
from envs.games.state import OUTCOME, TO_MOVE
from studies.grid import Cell

Teller = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Positions int32 [B, W] to outcomes as the player to move sees them, float32 [B, N]."""
BATCH = 1024
SIDE_BY_SIDE = 4096
"""Games of a policy."""


def teller_of(cell: Cell, runs: Mapping[str, str], device: str) -> Teller:
    """The teller of a cell. Raises UserError where its weights cannot be read."""
    name, count = cell["teller"], cell["rollouts"]
    arithmetic = Arithmetic(resolve_device(device), torch.get_num_threads())
    if name == "value network":
        return value_teller(Path(runs["value"]), cell["size"], arithmetic)
    if name == "uniform rollouts":
        return uniform_teller(count)
    if name == "rollout policy":
        return pattern_teller(Path(runs["rollout"]), count)
    run = Path(runs["policy" if name == "supervised policy" else "rl"])
    network, size = load_policy_network(run)
    return policy_teller(PolicyPlayer(arithmetic.place(network), arithmetic, size), count)


def value_teller(run: Path, size: int, arithmetic: Arithmetic) -> Teller:
    """What the value network says: N is 1."""
    network = arithmetic.place(load_value_network(run)[0]).eval()

    @torch.inference_mode()
    def tell(states: np.ndarray, random: np.random.Generator) -> np.ndarray:
        boards, told = ladder_boards(size), np.zeros((len(states), 1), np.float32)
        for first in range(0, len(states), BATCH):
            rows = slice(first, first + BATCH)
            planes = np.empty((len(states[rows]), VALUE_PLANES, size, size), np.uint8)
            observe_all(states[rows], boards, planes)
            with arithmetic.autocast():
                values = network(arithmetic.tensor(planes).float())
            told[rows, 0] = values.float().cpu().numpy()
        return told

    return tell


def uniform_teller(count: int) -> Teller:
    """Games at random."""
    return _compiled(GO.playout, count)


def pattern_teller(weights: Path, count: int) -> Teller:
    """Games of a rollout policy."""
    guide = load_policy(weights)
    return _compiled(lambda s, stream, mask: pattern_playout(s, stream, mask, guide), count)


def _compiled(playout: Callable[[np.ndarray, np.ndarray, np.ndarray], None], count: int) -> Teller:
    def tell(states: np.ndarray, random: np.random.Generator) -> np.ndarray:
        stream = random_state(int(random.integers(1 << 62)))[0]
        told = np.empty((len(states), count), np.float32)
        mask, played = np.zeros(19 * 19 + 1, np.uint8), np.empty_like(states[0])
        for row, state in enumerate(states):
            sign = 1 - 2 * int(state[TO_MOVE])
            for number in range(count):
                played[:] = state
                playout(played, stream, mask)
                told[row, number] = sign * played[OUTCOME]
        return told

    return tell


def policy_teller(player: PolicyPlayer, count: int) -> Teller:
    """Games in which a policy network draws both sides' moves."""

    def tell(states: np.ndarray, random: np.random.Generator) -> np.ndarray:
        told = np.empty((len(states), count), np.float32)
        rows = max(1, SIDE_BY_SIDE // count)
        for first in range(0, len(states), rows):
            begun = states[first : first + rows]
            played = np.repeat(begun, count, axis=0)
            play_games(played, [player], lambda s: np.zeros(len(s), np.int64), random,
                       lambda *what: None)  # fmt: skip
            outcomes = played[:, OUTCOME].reshape(len(begun), count)
            told[first : first + rows] = (1 - 2 * begun[:, TO_MOVE, None]) * outcomes
        return told

    return tell
