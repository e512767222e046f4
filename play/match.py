"""Matches: many games between two players, colours in turn, with the difference in Elo."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.errors import UserError
from envs.games.game import Game
from envs.games.session import IllegalMove, Session
from play.engine_player import RESIGN
from search.player import Player

_ELO = 400 / math.log(10)


@dataclass(frozen=True)
class GameResult:
    """One game of a match."""

    session: Session
    first: str
    second: str
    outcome: int
    """+1 for the first player, 0 a draw, -1 for the second."""
    how: str
    """As SGF writes it: B+3.5, W+R, B+F (illegal move or crash), 0."""
    note: str = ""
    seconds: tuple[float, float] = (0.0, 0.0)


@dataclass
class Score:
    """Games won, drawn and lost by one side, faults included."""

    wins: int = 0
    draws: int = 0
    losses: int = 0
    faults: int = 0
    """Games that ended by an illegal move or a crash of either side."""
    notes: list[str] = field(default_factory=list)

    @property
    def games(self) -> int:
        """Games so far."""
        return self.wins + self.draws + self.losses

    @property
    def rate(self) -> float:
        """Points a game: 1 for a win, half for a draw."""
        return (self.wins + 0.5 * self.draws) / max(self.games, 1)

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Wilson's interval of the rate (Wilson 1927); 95 % for the default z."""
        n, p = max(self.games, 1), self.rate
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def elo(self) -> tuple[float, float, float]:
        """Difference in Elo and its 95 % interval; infinite when every game went one way."""
        low, high = self.interval()
        return elo_of(self.rate), elo_of(low), elo_of(high)


def elo_of(rate: float) -> float:
    """Elo difference of an expected score; infinite at 0 and 1."""
    if rate <= 0:
        return -math.inf
    return math.inf if rate >= 1 else _ELO * math.log(rate / (1 - rate))


def play_game(first: Player, second: Player, session: Session) -> GameResult:
    """Play a position to its end. An illegal move or a crash loses the game and is noted."""
    players = (first, second)
    seconds = [0.0, 0.0]
    while not session.is_over:
        mover = session.to_move
        sign = 1 - 2 * mover
        opponent = "BW"[1 - mover]
        try:
            judgement = players[mover].judge(session)
            seconds[mover] += judgement.seconds
            if judgement.action == RESIGN:
                return _result(session, players, -sign, f"{opponent}+R", "", seconds)
            session.play(judgement.action)
        except IllegalMove as error:
            note = f"{players[mover].name}: {error}"
            return _result(session, players, -sign, f"{opponent}+F", note, seconds)
        except UserError as error:
            return _result(session, players, -sign, f"{opponent}+F", str(error), seconds)
    return _result(session, players, session.outcome, session.result(), "", seconds)


def _result(
    session: Session,
    players: tuple[Player, Player],
    outcome: int,
    how: str,
    note: str,
    seconds: list[float],
) -> GameResult:
    first, second = (player.name for player in players)
    return GameResult(session, first, second, outcome, how, note, (seconds[0], seconds[1]))


def play_match(
    one: Player,
    other: Player,
    game: Game,
    options: Any,
    games: int,
    opening_moves: int = 0,
    seed: int = 0,
    start: Callable[[], np.ndarray] | None = None,
) -> Iterator[tuple[GameResult, Score]]:
    """Play games with colours in turn; yield each with the score of `one` so far.

    Every opening, of random legal moves, is played twice with colours exchanged.
    """
    score = Score()
    for index in range(games):
        state = start() if start else None
        session = Session(game, options, state)
        opening = np.random.default_rng((seed, index // 2))
        _open(session, opening, opening_moves)
        one_first = index % 2 == 0
        result = play_game(one, other, session) if one_first else play_game(other, one, session)
        points = result.outcome if one_first else -result.outcome
        score.wins += points > 0
        score.draws += points == 0
        score.losses += points < 0
        if result.note:
            score.faults += 1
            score.notes.append(result.note)
        yield result, score


def _open(session: Session, rng: np.random.Generator, moves: int) -> None:
    """Play random legal moves, passes excepted."""
    for _ in range(moves):
        mask = session.legal_mask()
        if session.game.has_pass:
            mask[-1] = 0
        if session.is_over or not mask.any():
            return
        session.play(int(rng.choice(np.flatnonzero(mask))))
