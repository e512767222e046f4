"""Matches of many games at once: one batched search a move where the player has one.

A side moves in all games, then the other. Openings of random moves are played twice with colours
exchanged. Games end as the rules say and are counted as the board stands: whoever plays here must
take dead stones off before passing.

Legend: G games.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from envs.games.game import Game
from envs.games.session import Session
from envs.games.state import DRAW, OUTCOME
from play.engine_player import Disagreement
from play.match import open_randomly
from search.player import RESIGN, Player
from search.tree_player import TreePlayer, draw_by_visits

LANES = 8
"""Players that a side of single players has; a game belongs to one of them on any machine."""
VOID = -3
"""Instead of an action: the player refuses a legal move of the other."""


class Side(Protocol):
    """Chooses moves of many games at once."""

    def choose(self, games: Sequence[int], sessions: Sequence[Session]) -> list[int]:
        """Actions, RESIGN or VOID, for games by their numbers."""

    def close(self) -> None:
        """Free what it holds."""


class SearchingSide:
    """A player whose search takes many games at once, each with a tree of its own a move."""

    def __init__(
        self, player: TreePlayer, game: Game, options: Any, games: int, threads: int
    ) -> None:
        """`games`: G."""
        self.player = player
        visits = player.options.visits if player.searches else 0
        self.visits = visits
        self.search = player.make_search(
            game, options, max(visits, 1), games=games, leaves=1, threads=threads
        )
        self._rng = np.random.default_rng(player.seed)
        self._states = np.stack([game.initial_state(options)] * games)
        self._states[:, OUTCOME] = DRAW

    def choose(self, games: Sequence[int], sessions: Sequence[Session]) -> list[int]:
        """The most visited actions, or drawn by the player's temperature; the likeliest ones of a
        player that does not search."""
        count = len(sessions)
        self._states[:count] = [session.state for session in sessions]
        active = np.arange(len(self._states)) < count
        found = self.search.run(self._states, self.visits, active=active)
        actions = found.actions if self.visits else found.priors.argmax(axis=1)
        chosen: list[int] = actions[:count].tolist()
        temperature = self.player.options.temperature
        if self.visits and temperature > 0:
            chosen = [draw_by_visits(found.visits[row], temperature, self._rng)
                      for row in range(count)]  # fmt: skip
        return chosen

    def close(self) -> None:
        """Stop the threads."""
        self.search.close()
        self.player.close()


class SingleSide:
    """Players of one game at a time, some of them at once; they may be programs of others."""

    def __init__(self, make: Callable[[int], Player], threads: int) -> None:
        """`make` makes a player from a number below LANES."""
        self.players = [make(lane) for lane in range(LANES)]
        self._pool = ThreadPoolExecutor(threads)

    def choose(self, games: Sequence[int], sessions: Sequence[Session]) -> list[int]:
        """What each game's player says."""
        actions = dict.fromkeys(games, VOID)

        def play(lane: int) -> None:
            for number, session in zip(games, sessions, strict=True):
                if number % LANES == lane:
                    with contextlib.suppress(Disagreement):
                        actions[number] = int(self.players[lane].judge(session).action)

        list(self._pool.map(play, range(LANES)))
        return [actions[number] for number in games]

    def close(self) -> None:
        """End the players."""
        self._pool.shutdown(wait=True)
        for player in self.players:
            player.close()


@dataclass(frozen=True)
class Match:
    """What came of a match, as the first side sees it."""

    results: list[int]
    """Of each game: +1, 0, -1; 0 where it is void."""
    void: int
    """Games in which a player refused a legal move of the other; they count for neither."""
    moves: int
    """Of all games, openings included."""
    seconds: tuple[float, float]
    """That each side thought."""

    @property
    def games(self) -> int:
        """Games that count."""
        return len(self.results) - self.void

    @property
    def points(self) -> float:
        """1 for a win, half for a draw."""
        return sum((result + 1) / 2 for result in self.results) - self.void / 2


def play_match(
    sides: tuple[Side, Side], game: Game, options: Any, games: int, opening_moves: int, seed: int
) -> Match:
    """Play a match; the first side begins in the even games.

    Args:
        sides: who play.
        game, options: what is played.
        games: G; even, for openings to be fair.
        opening_moves: random ones.
        seed: of the openings.
    """
    sessions = [Session(game, options) for _ in range(games)]
    for number, session in enumerate(sessions):
        open_randomly(session, np.random.default_rng([seed, number // 2]), opening_moves)
    results, void, seconds = [0] * games, 0, [0.0, 0.0]
    going = {number for number, session in enumerate(sessions) if not session.is_over}
    while going:
        for place, side in enumerate(sides):
            mine = [n for n in sorted(going) if sessions[n].to_move == (n + place) % 2]
            if not mine:
                continue
            began = time.perf_counter()
            actions = side.choose(mine, [sessions[n] for n in mine])
            seconds[place] += time.perf_counter() - began
            for number, action in zip(mine, actions, strict=True):
                if action >= 0:
                    sessions[number].play(action)
                elif action == RESIGN:
                    results[number] = 2 * place - 1
                void += action == VOID
                if action < 0 or sessions[number].is_over:
                    going.discard(number)
    for number, session in enumerate(sessions):
        if session.is_over:
            results[number] = session.outcome if number % 2 == 0 else -session.outcome
    return Match(results, void, sum(len(s.actions) for s in sessions), (seconds[0], seconds[1]))
