"""PUCT: which edge to follow, each term of the formula a function of its own.

    score(a) = Q(a) + c(n) * P(a) * sqrt(n) / (1 + N(a))

Silver et al. 2017 ("AlphaGo Zero", Nature 550, methods), c(n) as in Silver et al. 2018 (AlphaZero).

Legend: n visits of the node's edges, N(a), Q(a), P(a) of one edge.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.machine.kernels import kernel
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


@kernel
def as_seen_by(value: float, player: int) -> float:
    """A value of the first player's as the given player sees it, and back. The only sign flip."""
    return value if player == FIRST else -value


@kernel
def exploration_rate(n: int, puct: Puct) -> float:
    """c(n)"""
    return np.log((1.0 + n + puct.exploration_base) / puct.exploration_base) + puct.exploration


@kernel
def exploration_bonus(scale: float, prior: float, visits: int) -> float:
    """c(n) sqrt(n) P(a) / (1 + N(a)), where scale is c(n) sqrt(n)."""
    return scale * prior / (1.0 + visits)


@kernel
def first_play_urgency(mean: float, tried_prior: float, reduction: float) -> float:
    """The value that an untried edge counts as."""
    return mean - reduction * np.sqrt(tried_prior)


@kernel
def edge_value(forest: Forest, g: int, edge: int, player: int, virtual_loss: float) -> float:
    """Q(a) for the player to move, awaited visits counted as losses."""
    pending = forest.pending[g, edge]
    total = as_seen_by(forest.value_sum[g, edge], player) - virtual_loss * pending
    return total / (forest.visits[g, edge] + pending)


@kernel
def is_forced(prior: float, visits: int, n: int, puct: Puct) -> bool:
    """Whether a tried edge of the root is still owed playouts."""
    return 0 < visits < np.sqrt(puct.forced_playouts * prior * n)


@kernel
def select_edge(forest: Forest, g: int, node: int, puct: Puct) -> int:
    """The edge of the highest score. At the root all edges are read, elsewhere the tried ones and
    the best of the others."""
    first, count = forest.first_edge[g, node], forest.edge_count[g, node]
    player = forest.to_move[g, node]
    last = first + (count if node == 0 else min(forest.tried[g, node] + 1, count))
    n = forest.node_visits[g, node] - 1 + forest.node_pending[g, node]
    reduction = puct.root_first_play_reduction if node == 0 else puct.first_play_reduction
    mean = as_seen_by(forest.node_sum[g, node] / forest.node_visits[g, node], player)
    urgency = first_play_urgency(mean, forest.tried_prior[g, node], reduction)
    # With n of 0 every bonus would be 0 and the prior unheard.
    scale = exploration_rate(n, puct) * np.sqrt(max(n, 1))
    best, best_score = first, -np.inf
    for edge in range(first, last):
        visits = forest.visits[g, edge] + forest.pending[g, edge]
        value = urgency
        if visits > 0:
            value = edge_value(forest, g, edge, player, puct.virtual_loss)
        score = value + exploration_bonus(scale, forest.prior[g, edge], visits)
        if node == 0 and is_forced(forest.prior[g, edge], visits, n, puct):
            score = np.inf
        if score > best_score:
            best, best_score = edge, score
    return best
