"""How strong a network in training is: games against anchors and its own past, rated together.

All games of an evaluation run side by side, every opening played twice with colours changed.

Legend: G games, A actions, P players.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from agents.zero.evaluator import NetworkEvaluator
from core.errors import UserError
from core.report.ratings import bradley_terry
from envs.games.game import Game
from envs.games.session import Session
from envs.games.state import OUTCOME, TO_MOVE, UNDECIDED
from search.config import SearchConfig
from search.tree_search import TreeSearch
from search.uct import UctOptions, UctPlayer

OPENING_MOVES = 2


class Side(Protocol):
    """Chooses moves of many games at once."""

    def choose(self, states: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Actions, int64 [G], for positions int32 [G, S]; only active games, bool [G], count."""


class NetworkSide:
    """A network with its search, without noise."""

    def __init__(
        self, game: Game, options: Any, games: int, evaluator: NetworkEvaluator,
        config: SearchConfig, simulations: int, threads: int,
    ) -> None:  # fmt: skip
        self.simulations = simulations
        self.search = TreeSearch(
            game, options, games, config, evaluator, max_simulations=simulations, threads=threads
        )

    def choose(self, states: np.ndarray, active: np.ndarray) -> np.ndarray:
        """The search's move."""
        return self.search.run(states, self.simulations, active=active).actions


class RandomSide:
    """Any legal move; passes only when it must."""

    def __init__(self, game: Game, options: Any, seed: int) -> None:
        self.game, self.rng = game, np.random.default_rng(seed)
        self._mask = np.zeros(game.actions(options), np.uint8)

    def choose(self, states: np.ndarray, active: np.ndarray) -> np.ndarray:
        """One legal move of each active game."""
        actions = np.zeros(len(states), np.int64)
        for g in np.flatnonzero(active):
            self.game.legal(states[g], self._mask)
            legal = np.flatnonzero(self._mask)
            if self.game.has_pass and len(legal) > 1:
                legal = legal[:-1]
            actions[g] = self.rng.choice(legal)
        return actions


class UctSide:
    """Tree search with random playouts."""

    def __init__(self, game: Game, options: Any, playouts: int, seed: int) -> None:
        self.game, self.options = game, options
        self.player = UctPlayer(UctOptions(playouts=playouts, seed=seed))

    def choose(self, states: np.ndarray, active: np.ndarray) -> np.ndarray:
        """The most visited move of each active game."""
        actions = np.zeros(len(states), np.int64)
        for g in np.flatnonzero(active):
            session = Session(self.game, self.options, states[g])
            actions[g] = self.player.judge(session).action
        return actions


def anchor_names(text: str) -> list[str]:
    """'random uct:200' as a list, `random` always first: it is 0 Elo.

    Raises:
        UserError: there is no such anchor.
    """
    names = text.replace(",", " ").split()
    for name in names:
        if name != "random" and not re.fullmatch(r"uct:[1-9]\d{0,6}", name):
            raise UserError(f"there is no anchor {name!r} (known: random, uct:PLAYOUTS)")
    return ["random", *(name for name in dict.fromkeys(names) if name != "random")]


def anchor_side(name: str, game: Game, options: Any, seed: int) -> Side:
    """An anchor that plays."""
    if name == "random":
        return RandomSide(game, options, seed)
    return UctSide(game, options, int(name.partition(":")[2]), seed)


def play_match(
    game: Game, options: Any, first: Side, second: Side, games: int, seed: int,
    stop: Callable[[], bool],
) -> np.ndarray | None:  # fmt: skip
    """Play games side by side; results as `first` sees them, +1, 0, -1, int64 [G]; None: stopped.

    `first` begins in the even games. Each two games share an opening of random moves.
    """
    rng = np.random.default_rng(seed)
    states = np.stack([game.initial_state(options)] * games)
    mask = np.zeros(game.actions(options), np.uint8)
    for pair in range(0, games, 2):
        _random_opening(game, states[pair], mask, rng)
        states[pair + 1 : pair + 2] = states[pair]
    begins = np.arange(games) % 2 == 0
    while (going := states[:, OUTCOME] == UNDECIDED).any():
        if stop():
            return None
        for side, mine in ((first, True), (second, False)):
            turn = (states[:, TO_MOVE] == 0) == (begins == mine)
            active = going & turn & (states[:, OUTCOME] == UNDECIDED)
            if not active.any():
                continue
            actions = side.choose(states, active)
            for g in np.flatnonzero(active):
                game.play(states[g], actions[g])
            going &= ~active
    outcomes = states[:, OUTCOME].astype(np.int64)
    return np.where(begins, outcomes, -outcomes)


def _random_opening(game: Game, state: np.ndarray, mask: np.ndarray, rng: Any) -> None:
    """Play a few random moves, no pass among them, into a position that is not over."""
    start = state.copy()
    for _ in range(OPENING_MOVES):
        game.legal(state, mask)
        legal = np.flatnonzero(mask)
        if game.has_pass and len(legal) > 1:
            legal = legal[:-1]
        game.play(state, rng.choice(legal))
        if state[OUTCOME] != UNDECIDED:
            state[:] = start
            return


def rate(
    results: Sequence[dict[str, Any]], players: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Elo and the half width of its 95 % interval of each player; the first is 0.

    results: {"first", "second", "points", "games"}, points as the first took them.
    """
    place = {name: index for index, name in enumerate(players)}
    wins = np.zeros((len(players), len(players)))
    for result in results:
        a, b = place.get(result["first"]), place.get(result["second"])
        if a is not None and b is not None:
            wins[a, b] += result["points"]
            wins[b, a] += result["games"] - result["points"]
    ratings, widths = bradley_terry(wins)
    return {name: (float(ratings[index]), float(widths[index])) for name, index in place.items()}
