"""Clocks: from time settings and time left to the seconds that a move may take."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_MOVES_LEFT_AT_LEAST = 12
_NETWORK_SECONDS = 0.3
"""Kept back for a slow connection."""
_LEAST_SECONDS = 0.05
_PERIOD_SHARE = 0.9
"""Of a byo-yomi period or an increment, what a move uses."""


@dataclass
class Clock:
    """Main time, then byo-yomi: `stones` moves in every `period` seconds (Canadian)."""

    main: float = 0.0
    period: float = 0.0
    stones: int = 0
    limited: bool = False
    by_periods: bool = False
    """A period lasts for one move, and `left` counts periods instead of stones (KGS)."""
    increment: float = 0.0
    """Seconds that every move gives back (Fischer)."""
    longest: float = math.inf
    """Seconds that no move may exceed."""
    left: dict[int, tuple[float, int]] = field(default_factory=dict)
    """By player: seconds, and stones to play in them (0: main time)."""

    def set(self, main: float, period: float, stones: int, by_periods: bool = False) -> None:
        """Section 6 of the protocol: a period and no stones means no limit at all."""
        self.main, self.period, self.stones = main, period, stones
        self.limited = not (period > 0 and stones == 0)
        self.by_periods, self.increment, self.longest = by_periods, 0.0, math.inf
        self.left = {}

    def set_fischer(self, main: float, increment: float, longest: float = math.inf) -> None:
        """Main time to which every move adds."""
        self.set(main, 0, 0)
        self.increment, self.longest = increment, longest

    def seconds(self, player: int, empty_points: int) -> float | None:
        """Return how long a move may take, None for as long as it likes."""
        if not self.limited:
            return None
        left, stones = self._of(player)
        if stones > 0:
            share = _PERIOD_SHARE * left if self.by_periods else left / stones
        else:
            # Of the moves to come, about half the empty points are this player's.
            share = left / max(_MOVES_LEFT_AT_LEAST, empty_points // 2)
            share += _PERIOD_SHARE * self.increment
            if self.stones:
                share += self.period / (1 if self.by_periods else self.stones)
        most = min(share, left, self.longest)
        return max(_LEAST_SECONDS, most - _NETWORK_SECONDS * (share > 2))

    def spend(self, player: int, seconds: float) -> None:
        """Take a move's time off: a client need not say what is left."""
        if not self.limited:
            return
        left, stones = self._of(player)
        left -= seconds
        if stones == 0 and self.stones and left < 0:  # the main time is over
            left, stones = left + self.period, self.stones
        if stones == 0:
            left += self.increment
        elif self.by_periods:
            while left < 0 and stones > 1:
                left, stones = left + self.period, stones - 1
            left = self.period  # whole again with every move
        else:
            left, stones = (left, stones - 1) if stones > 1 else (self.period, self.stones)
        self.left[player] = (left, stones)

    def _of(self, player: int) -> tuple[float, int]:
        """Seconds left, and stones to play in them."""
        return self.left.get(player, (self.main or self.period, 0 if self.main else self.stones))
