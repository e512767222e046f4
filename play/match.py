"""Matches: many games between two players, colours in turn, with the difference in Elo."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import UserError
from core.report.statistics import wilson_interval
from envs.games.game import Game
from envs.games.session import Session
from envs.games.state import FIRST
from play.engine_player import Disagreement
from play.settle import Count, agreed_count, go_on, may_be_settled, referees_count
from search.player import RESIGN, Player

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
    """As SGF writes it: B+3.5, W+R, B+F (illegal move or crash), 0, Void."""
    note: str = ""
    fault: bool = False
    """Whether an illegal move or a crash ended it."""
    void: bool = False
    """Whether the players disagreed on the rules and nobody decided; it counts for neither."""
    seconds: tuple[float, float] = (0.0, 0.0)


@dataclass
class Score:
    """Games won, drawn and lost by one side, faults included."""

    wins: int = 0
    draws: int = 0
    losses: int = 0
    faults: int = 0
    """Games that ended by an illegal move or a crash of either side."""
    voids: int = 0
    """Games that count for neither side, because one refused a legal move of the other."""

    @property
    def games(self) -> int:
        """Games that count."""
        return self.wins + self.draws + self.losses

    @property
    def played(self) -> int:
        """Games so far, void ones too."""
        return self.games + self.voids

    def add(self, result: GameResult, side: int) -> None:
        """Count a game; side 1: ours was the game's first player, -1: its second."""
        points = result.outcome * side
        self.voids += result.void
        self.wins += points > 0
        self.draws += points == 0 and not result.void
        self.losses += points < 0
        self.faults += result.fault

    @property
    def rate(self) -> float:
        """Points a game: 1 for a win, half for a draw."""
        return (self.wins + 0.5 * self.draws) / max(self.games, 1)

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Wilson's interval of the rate (Wilson 1927); 95 % for the default z."""
        return wilson_interval(self.rate, self.games, z)

    def elo(self) -> tuple[float, float, float]:
        """Difference in Elo and its 95 % interval; infinite when every game went one way."""
        low, high = self.interval()
        return elo_of(self.rate), elo_of(low), elo_of(high)


def elo_of(rate: float) -> float:
    """Elo difference of an expected score; infinite at 0 and 1."""
    if rate <= 0:
        return -math.inf
    return math.inf if rate >= 1 else _ELO * math.log(rate / (1 - rate))


def play_game(
    first: Player, second: Player, session: Session, referee: Player | None = None
) -> GameResult:
    """Play a position to its end. An illegal move or a crash loses the game and is noted.

    Where a player refuses a legal move of the other the referee decides: if it accepts the move,
    the refusal is a fault; else, and without a referee, the game is void.
    """
    players = (first, second)
    seconds = [0.0, 0.0]
    ended = _play_on(players, session, seconds, referee)
    try:
        if ended is None and may_be_settled(session):
            count = agreed_count(players, session)
            if count is None:
                go_on(session)
                ended = _play_on(players, session, seconds, referee)
                count = agreed_count(players, session) or referees_count(referee, session)
            if ended is None:
                outcome = int(np.sign(count.margin))
                return _result(session, players, outcome, count.result, count.note, seconds)
    except UserError as error:
        count = Count(session.margin(), f"{error}; counted as it stands")
        outcome = int(np.sign(count.margin))
        return _result(session, players, outcome, count.result, count.note, seconds)
    if ended is not None:
        return ended
    return _result(session, players, session.outcome, session.result(), "", seconds)


def _play_on(
    players: tuple[Player, Player],
    session: Session,
    seconds: list[float],
    referee: Player | None,
) -> GameResult | None:
    """Play until the position is over: None; or until somebody resigns or fails: the result."""
    while not session.is_over:
        mover = session.to_move
        lost = -1 if mover == FIRST else 1
        opponent = "BW"[1 - mover]
        began = time.monotonic()
        try:
            judgement = players[mover].judge(session)
            seconds[mover] += time.monotonic() - began
            if judgement.action == RESIGN:
                return _result(session, players, lost, f"{opponent}+R", "", seconds)
            session.play(judgement.action)
        except Disagreement as error:
            if not _accepted(referee, session):
                note = f"disagreement on the rules: {error}"
                return _result(session, players, 0, "Void", note, seconds, void=True)
            note = f"{error}, which {referee.name} accepts"  # type: ignore[union-attr]
            return _result(session, players, lost, f"{opponent}+F", note, seconds, fault=True)
        except UserError as error:
            note = f"{players[mover].name}: {error}"
            return _result(session, players, lost, f"{opponent}+F", note, seconds, fault=True)
    return None


def _accepted(referee: Player | None, session: Session) -> bool:
    """Whether a referee that can say so calls every move of the game legal."""
    accepts = getattr(referee, "accepts", None)
    try:
        return accepts is not None and bool(accepts(session))
    except UserError:
        return False


def _result(
    session: Session,
    players: tuple[Player, Player],
    outcome: int,
    how: str,
    note: str,
    seconds: list[float],
    fault: bool = False,
    void: bool = False,
) -> GameResult:
    first, second = (player.name for player in players)
    times = (seconds[0], seconds[1])
    return GameResult(session, first, second, outcome, how, note, fault, void, times)


Pair = tuple[Player, Player]


def play_match(
    pairs: Sequence[Pair],
    game: Game,
    options: Any,
    games: int,
    opening_moves: int = 0,
    seed: int = 0,
    referee: Player | None = None,
) -> Iterator[tuple[GameResult, Score]]:
    """Play games with colours in turn; yield each with the score so far of the first of a pair.

    Every pair of players plays one game at a time, all pairs at once. Every opening, of random
    legal moves, is played twice with colours exchanged. Game for game the result depends on the
    seed alone, whatever the number of pairs, if the players' own does.
    """
    free: queue.SimpleQueue[Pair] = queue.SimpleQueue()
    for pair in pairs:
        free.put(pair)
    referee_lock = threading.Lock()

    def play(index: int) -> tuple[int, GameResult]:
        pair = free.get()
        try:
            for number, player in enumerate(pair):
                player.new_game(seed * 1_000_003 + 2 * index + number)
            session = Session(game, options)
            open_randomly(session, np.random.default_rng((seed, index // 2)), opening_moves)
            first, second = pair if index % 2 == 0 else pair[::-1]
            guarded = None if referee is None else _Locked(referee, referee_lock)
            return index, play_game(first, second, session, guarded)
        finally:
            free.put(pair)

    score = Score()
    pool = ThreadPoolExecutor(len(pairs))
    try:
        for index, result in pool.map(play, range(games)):
            score.add(result, 1 if index % 2 == 0 else -1)
            yield result, score
    finally:
        # Games that are still played end when their players are closed.
        pool.shutdown(wait=False, cancel_futures=True)


class _Locked:
    """A referee that games at once ask one after the other."""

    def __init__(self, player: Player, lock: threading.Lock) -> None:
        self._player, self._lock = player, lock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._player, name)

    def dead_stones(self, session: Session) -> set[int] | None:
        """As the referee says."""
        with self._lock:
            return self._player.dead_stones(session)

    def accepts(self, session: Session) -> bool:
        """As the referee says, if it does."""
        with self._lock:
            return _accepted(self._player, session)


def open_randomly(session: Session, rng: np.random.Generator, moves: int) -> None:
    """Play random legal moves, passes excepted."""
    for _ in range(moves):
        mask = session.legal_mask()
        if session.game.has_pass:
            mask[-1] = 0
        if session.is_over or not mask.any():
            return
        session.play(int(rng.choice(np.flatnonzero(mask))))
