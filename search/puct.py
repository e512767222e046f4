"""PUCT: which edge to follow, each term of the formula a function of its own.

    score(a) = Q(a) + c(n) * P(a) * sqrt(n) / (1 + N(a))

Silver et al. 2017 ("AlphaGo Zero", Nature 550, methods), c(n) as in Silver et al. 2018 (AlphaZero).

Legend: n visits of the node's edges, N(a), Q(a), P(a) of one edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.machine.kernels import inlined
from envs.games.state import FIRST
from search.forest import Forest


class Puct(NamedTuple):
    """Constants of the formula."""

    exploration: float = 1.1
    """c at the first visits."""
    exploration_base: float = 19652.0
    """c grows with the logarithm of n over this (AlphaZero)."""
    first_play_reduction: float = 0.2
    """An untried edge counts as the node's mean less this times the root of the tried priors'
    sum (Leela Zero, KataGo)."""
    root_first_play_reduction: float = 0.0
    virtual_loss: float = 1.0
    """An awaited visit counts as this value lost (Silver et al. 2016)."""
    forced_playouts: float = 0.0
    """k: an edge of the root tried at all gets sqrt(k P(a) n) visits (Wu 2019); 0: none."""
    expand_after: int = 1
    """Visits of an edge before simulations go on below it (Silver et al. 2016)."""


@inlined
def as_seen_by(value: float, player: int) -> float:
    """A value of the first player's as the given player sees it, and back. The only sign flip."""
    return value if player == FIRST else -value


@inlined
def exploration_rate(n: int, puct: Puct) -> float:
    """c(n)"""
    return np.log((1.0 + n + puct.exploration_base) / puct.exploration_base) + puct.exploration


@inlined
def exploration_bonus(scale: float, prior: float, visits: int) -> float:
    """c(n) sqrt(n) P(a) / (1 + N(a)), where scale is c(n) sqrt(n)."""
    return scale * prior / (1.0 + visits)


@inlined
def first_play_urgency(mean: float, tried_prior: float, reduction: float) -> float:
    """The value that an untried edge counts as."""
    return mean - reduction * np.sqrt(tried_prior)


@inlined
def edge_value(total: float, visits: int, pending: int, virtual_loss: float) -> float:
    """Q(a) from a sum of values; of the visits those that are awaited count as losses."""
    return (total - virtual_loss * pending) / visits


@inlined
def is_forced(prior: float, visits: int, n: int, forced_playouts: float) -> bool:
    """Whether a tried edge of the root is still owed playouts."""
    return 0 < visits < np.sqrt(forced_playouts * prior * n)


@inlined
def select_edge(forest: Forest, g: int, node: int, puct: Puct) -> int:
    """The edge of the highest score. At the root all edges are read, elsewhere the tried ones and
    the best of the others."""
    first, count = forest.nodes[g, node].first_edge, forest.nodes[g, node].edge_count
    player = forest.nodes[g, node].to_move
    last = first + (count if node == 0 else min(forest.nodes[g, node].tried + 1, count))
    n = forest.nodes[g, node].visits - 1 + forest.nodes[g, node].pending
    reduction = puct.root_first_play_reduction if node == 0 else puct.first_play_reduction
    mean = as_seen_by(forest.nodes[g, node].value_sum / forest.nodes[g, node].visits, player)
    urgency = first_play_urgency(mean, forest.nodes[g, node].tried_prior, reduction)
    # With n of 0 every bonus would be 0 and the prior unheard.
    scale = exploration_rate(n, puct) * np.sqrt(max(n, 1))
    best, best_score = first, -np.inf
    for edge in range(first, last):
        pending, prior = forest.edges[g, edge].pending, forest.prior[g, edge]
        visits = forest.edges[g, edge].visits + pending
        value = urgency
        if visits > 0:
            total = as_seen_by(forest.edges[g, edge].value_sum, player)
            value = edge_value(total, visits, pending, puct.virtual_loss)
        score = value + exploration_bonus(scale, prior, visits)
        if node == 0 and is_forced(prior, visits, n, puct.forced_playouts):
            score = np.inf
        if score > best_score:
            best, best_score = edge, score
    return best
