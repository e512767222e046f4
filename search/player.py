"""What plays a game: given a position and limits, it chooses an action and says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from envs.games.game import Game
from envs.games.session import Session

RESIGN = -2
"""The action of a player that gives up."""
_SUICIDE_GAIN = 0.1
"""Expected outcome that a suicide must promise above another move, more than noise."""


@dataclass(frozen=True)
class Limits:
    """How long a move may take: whichever limit is reached first; without any, the player's own."""

    playouts: int | None = None
    """Simulations a move."""
    seconds: float | None = None
    allowed: frozenset[int] | None = None
    """The legal actions that may be chosen, at least one; None: all. Later moves are free."""

    @property
    def are_set(self) -> bool:
        """Whether there is a limit to playouts or seconds."""
        return self.playouts is not None or self.seconds is not None


@dataclass(frozen=True)
class Judgement:
    """What a search found. Values are from the view of the player to move.

    Legend: A actions.
    """

    action: int
    """The action it would play, or RESIGN."""
    value: float
    """Expected outcome of that action, -1 lost to 1 won."""
    visits: np.ndarray
    """Visits of each action, int64 [A]."""
    values: np.ndarray
    """Expected outcome of each action, float64 [A], nan where never tried."""
    priors: np.ndarray | None = None
    """Chance that a policy gives each action, float64 [A]."""
    variation: tuple[int, ...] = ()
    """The line of play it expects, beginning with the action."""
    seconds: float = 0.0
    reports: dict[str, float] = field(default_factory=dict)
    """More numbers worth showing, by name."""
    line: Callable[[int], tuple[tuple[int, int], ...]] | None = None
    """Asks for the expected line of play that begins with an action: actions and their visits."""
    ownership: Callable[[], np.ndarray] | None = None
    """Asks for the expected owner of each cell, +1 the player to move, float64 [H * W]."""

    @property
    def win_rate(self) -> float:
        """Chance to win, half for draws, 0 to 1."""
        return (self.value + 1) / 2


Watcher = Callable[[Judgement], bool]
"""Called with what is known so far; the search stops when it returns False."""


class Player(Protocol):
    """Chooses actions; front ends need nothing else."""

    @property
    def name(self) -> str:
        """What to call it in game records."""

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        """Judge a position that is not over; `limits` None: the player's own."""

    def new_game(self, seed: int) -> None:
        """Forget the last game; draw from another random stream."""

    def dead_stones(self, session: Session) -> set[int] | None:
        """Cells of stones of Go that it gives up as dead at the end; None: it has no opinion."""

    def check(self, game: Game, options: Any) -> None:
        """Raise UserError, saying why, if it cannot play this game on this board."""

    def close(self) -> None:
        """Free what the player holds: processes, threads, memory."""


def without_suicide(session: Session, action: int, visits: np.ndarray, values: np.ndarray) -> int:
    """Return the chosen action, or the next best where it is a suicide of Go that gains nothing.

    Most programs call a suicide illegal, and where a game is lost every move looks alike. `visits`
    [A] and `values` [A] are a `Judgement`'s; an action that gains by more than noise stays.
    """
    if session.game.name != "go":
        return action
    from envs.games.go.rules import is_suicide

    if not is_suicide(session.state, action):
        return action
    others = [
        int(other)
        for other in np.flatnonzero(session.legal_mask())
        if not is_suicide(session.state, int(other))
    ]
    best = max(others, key=lambda other: (visits[other], np.nan_to_num(values[other], nan=-2)))
    gains = values[action] > values[best] + _SUICIDE_GAIN
    return best if visits[best] > 0 and not gains else action


class RandomPlayer:
    """Picks any legal action; never passes while something else is legal."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        """Draw one action."""
        mask = session.legal_mask().astype(bool)
        if limits is not None and limits.allowed is not None:
            mask &= np.isin(np.arange(len(mask)), list(limits.allowed))
        if session.game.has_pass and mask[:-1].any():
            mask[-1] = False
        action = int(self._rng.choice(np.flatnonzero(mask)))
        visits = np.zeros(len(mask), np.int64)
        visits[action] = 1
        return Judgement(action, 0.0, visits, np.where(visits, 0.0, np.nan), variation=(action,))

    def new_game(self, seed: int) -> None:
        """Draw from another random stream."""
        self._rng = np.random.default_rng(seed)

    def dead_stones(self, session: Session) -> set[int] | None:
        """It has no opinion."""
        return None

    def check(self, game: Game, options: Any) -> None:
        """It plays anything."""

    def close(self) -> None:
        """Nothing to free."""
