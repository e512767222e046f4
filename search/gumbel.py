"""Gumbel root search (Danihelka et al. 2022, "Policy improvement by planning with Gumbel").

A few actions are drawn without replacement by the Gumbel-top-k trick; sequential halving spends the
simulations on them; what it finds improves the policy in expectation, however few simulations.

    choose      argmax over considered a of   g(a) + logit(a) + sigma(q(a))
    learn       softmax over all a of                logit(a) + sigma(completed q(a))
    sigma(q)  = (c_visit + max N) c_scale q,  q in [0, 1]

Legend: m considered actions, n simulations.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from core.machine.kernels import inlined, kernel
from search.forest import Forest, swap_edges
from search.puct import as_seen_by

_SMALLEST = 1e-30


class Gumbel(NamedTuple):
    """Constants of the formulas."""

    visit_weight: float = 50.0
    """c_visit"""
    scale: float = 1.0
    """c_scale; 1 for board games, 0.1 for rescaled values of video games."""


@lru_cache(maxsize=4096)
def halving_schedule(considered: int, simulations: int) -> tuple[int, ...]:
    """How many visits the action of each simulation must have had (sequential halving).

    The considered actions are visited in rounds of equal length; after each phase of rounds the
    better half stays, at least two.
    """
    if considered <= 1:
        return tuple(range(simulations))
    phases = int(np.ceil(np.log2(considered)))
    schedule: list[int] = []
    rounds_so_far, remaining = 0, considered
    while len(schedule) < simulations:
        for _ in range(max(1, simulations // (phases * remaining))):
            schedule += [rounds_so_far] * remaining
            rounds_so_far += 1
        remaining = max(2, remaining // 2)
    return tuple(schedule[:simulations])


@kernel
def logit_of(prior: float) -> float:
    """A logit of the policy, up to a constant."""
    return np.log(max(prior, _SMALLEST))


@kernel
def most_visits(forest: Forest, g: int) -> int:
    """Visits of the most visited edge of the root."""
    most = 0
    for edge in range(forest.nodes[g, 0].edge_count):
        most = max(most, forest.edges[g, edge].visits)
    return most


@inlined
def transformed(q: float, most: int, gumbel: Gumbel) -> float:
    """sigma(q) of a value from -1 to 1."""
    return (gumbel.visit_weight + most) * gumbel.scale * (q + 1.0) / 2.0


@kernel
def mixed_value(forest: Forest, g: int) -> float:
    """v_mix, the value of an edge without visits: the network's value and the visited edges' mean,
    weighted by their priors (appendix D)."""
    player = forest.nodes[g, 0].to_move
    visits, prior, weighted = 0, 0.0, 0.0
    for edge in range(forest.nodes[g, 0].edge_count):
        if forest.edges[g, edge].visits > 0:
            q = as_seen_by(forest.edges[g, edge].value_sum, player) / forest.edges[g, edge].visits
            visits += forest.edges[g, edge].visits
            prior += forest.prior[g, edge]
            weighted += forest.prior[g, edge] * q
    own = as_seen_by(forest.nodes[g, 0].network_value, player)
    if visits == 0 or prior <= 0.0:
        return own
    return (own + visits * weighted / prior) / (1.0 + visits)


@inlined
def completed_q(total: float, visits: int, unvisited: float) -> float:
    """Completed Q of an edge from the sum of its values, for the player to move."""
    return total / visits if visits > 0 else unvisited


@kernel
def bring_considered_forward(forest: Forest, g: int, heads: np.ndarray, considered: int) -> None:
    """Put the root's edges of the highest g + logit first (the Gumbel-top-k trick).

    heads: float32 [A], g + logit of each edge, moved along.
    """
    for place in range(considered):
        best = place
        for edge in range(place + 1, forest.nodes[g, 0].edge_count):
            if heads[edge] > heads[best]:
                best = edge
        if best != place:
            swap_edges(forest, g, place, best)
            heads[place], heads[best] = heads[best], heads[place]


@inlined
def considered_edge(
    forest: Forest, g: int, heads: np.ndarray, considered: int, wanted_visits: int, gumbel: Gumbel
) -> int:
    """The best of the considered edges among those with exactly so many visits; heads float32 [A].

    Where none has (a kept tree, or several leaves a tick), the best of those that come closest.
    """
    most = 0
    for edge in range(considered):
        most = max(most, forest.edges[g, edge].visits)
    player = forest.nodes[g, 0].to_move
    own = as_seen_by(forest.nodes[g, 0].network_value, player)
    best, best_score, best_gap = 0, -np.inf, 1 << 30
    for edge in range(considered):
        visits = forest.edges[g, edge].visits
        gap = abs(visits + forest.edges[g, edge].pending - wanted_visits)
        if gap > best_gap:
            continue
        q = completed_q(as_seen_by(forest.edges[g, edge].value_sum, player), visits, own)
        score = heads[edge] + transformed(q, most, gumbel)
        if gap < best_gap or score > best_score:
            best, best_score, best_gap = edge, score, gap
    return best


@kernel
def improved_policy(forest: Forest, g: int, policy: np.ndarray, gumbel: Gumbel) -> None:
    """Write the policy to learn, float32 [A], 0 for illegal actions."""
    policy[:] = 0.0
    most, value = most_visits(forest, g), mixed_value(forest, g)
    highest, total = -np.inf, 0.0
    count, player = forest.nodes[g, 0].edge_count, forest.nodes[g, 0].to_move
    scores = np.empty(count, np.float64)
    for edge in range(count):
        seen = as_seen_by(forest.edges[g, edge].value_sum, player)
        q = completed_q(seen, forest.edges[g, edge].visits, value)
        scores[edge] = logit_of(forest.prior[g, edge]) + transformed(q, most, gumbel)
        highest = max(highest, scores[edge])
    for edge in range(count):
        scores[edge] = np.exp(scores[edge] - highest)
        total += scores[edge]
    for edge in range(count):
        policy[forest.action[g, edge]] = scores[edge] / total
