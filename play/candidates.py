"""What an analysis shows of every move, whatever the protocol, as the player to move sees it.

No player of ours knows the score of a move. The position's lead is what random playouts expect, or
a network's ownership where there is one; a move's lead differs from the best move's by what their
win rates say, if margins are spread as those of the playouts (a normal distribution).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from core.machine.random_numbers import random_state
from envs.games.go.board import COMPENSATION
from envs.games.go.estimate import estimate_ownership
from envs.games.session import Session
from search.player import Judgement

PLAYOUTS = 400
"""On boards of up to 81 points; the larger, the fewer, so that an answer takes no longer."""
_SUREST = 0.98
"""Win rates beyond this and its opposite say no more about the margin."""


@dataclass(frozen=True)
class Estimate:
    """Who will own what, as the player to move sees it."""

    owners: np.ndarray
    """1 the player to move, -1 the other, float64 [H * W]."""
    spreads: np.ndarray
    """Standard deviations of the owners, float64 [H * W]."""
    lead: float
    """Points, compensation counted."""
    spread: float
    """Standard deviation of the margin at the end of a playout."""


def estimate_of(session: Session, judgement: Judgement | None = None) -> Estimate:
    """Estimate a position of Go; the same position gives the same numbers."""
    cells = int(np.prod(session.options.shape))
    finals = np.zeros((max(50, min(PLAYOUTS, PLAYOUTS * 81 // cells)), cells))
    rng = random_state(0)[0]
    for final in finals:
        estimate_ownership(session.state, rng, 1, final)
    sign = 1 - 2 * session.to_move
    owners = sign * finals.mean(axis=0)
    spreads = finals.std(axis=0)
    if judgement is not None and judgement.ownership is not None:
        owners = judgement.ownership()
        spreads = np.sqrt(np.maximum(0.0, 1 - owners**2))
    lead = float(owners.sum()) - sign * int(session.state[COMPENSATION]) / 2
    return Estimate(owners, spreads, lead, float(finals.sum(axis=1).std()))


def estimate_once(session: Session) -> Callable[[Judgement], Estimate]:
    """`estimate_of` for the reports of one search: computed for the first, the same for all."""
    kept: list[Estimate] = []

    def estimate(judgement: Judgement) -> Estimate:
        if not kept:
            kept.append(estimate_of(session, judgement))
        return kept[0]

    return estimate


@dataclass(frozen=True)
class Candidate:
    """A move that was tried."""

    action: int
    visits: int
    rate: float
    """Chance to win, 0 to 1."""
    lower: float
    """Lower end of an interval of about 95 % around it; may leave 0 to 1."""
    lead: float
    """Points."""
    prior: float
    """A policy's chance of the move; its share of visits where there is no policy."""
    line: tuple[tuple[int, int], ...]
    """The expected line of play: actions and their visits."""


def candidates(judgement: Judgement, estimate: Estimate) -> list[Candidate]:
    """Every move that was tried, the most visited first."""
    visits = judgement.visits
    order = [int(a) for a in np.argsort(-visits, kind="stable") if visits[a] > 0]
    rates = (np.nan_to_num(judgement.values, nan=0.0) + 1) / 2
    total = max(1, int(visits.sum()))
    found = []
    for action in order:
        rate, count = float(rates[action]), int(visits[action])
        prior = count / total if judgement.priors is None else float(judgement.priors[action])
        line: tuple[tuple[int, int], ...] = ((action, count),)
        if judgement.line is not None:
            line = judgement.line(action) or line
        elif action == judgement.action:
            line = tuple((a, count if a == action else 0) for a in judgement.variation) or line
        lead = estimate.lead + estimate.spread * (_normal(rate) - _normal(float(rates[order[0]])))
        lower = rate - 2 * float(np.sqrt(max(rate * (1 - rate), 0.01) / count))
        found.append(Candidate(action, count, rate, lower, lead, prior, line))
    return found


def _normal(rate: float) -> float:
    """The point of the normal distribution with so much below it."""
    return NormalDist().inv_cdf(min(max(rate, 1 - _SUREST), _SUREST))
