"""What a finished search says: visits, values, the policy to learn, the action to play.

Legend: G games, A actions.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel
from search.forest import NO_CHILD, Forest
from search.gumbel import (
    Gumbel,
    bring_considered_forward,
    completed_q,
    improved_policy,
    logit_of,
    mixed_value,
    most_visits,
    transformed,
)
from search.puct import Puct, as_seen_by, exploration_bonus, exploration_rate


@kernel
def _best_of_halving(forest: Forest, g: int, heads: np.ndarray, gumbel: Gumbel) -> int:
    """The action of the highest g + logit + sigma(q) among the most visited."""
    most, value = most_visits(forest, g), mixed_value(forest, g)
    player = forest.nodes[g, 0].to_move
    best, best_score = 0, -np.inf
    for edge in range(forest.nodes[g, 0].edge_count):
        if forest.edges[g, edge].visits == most:
            q = completed_q(as_seen_by(forest.edges[g, edge].value_sum, player), most, value)
            score = heads[edge] + transformed(q, most, gumbel)
            if score > best_score:
                best, best_score = edge, score
    return forest.action[g, best]


@kernel
def _most_visited(forest: Forest, g: int) -> int:
    """The most visited edge of the root; the higher prior among equals."""
    best = 0
    for edge in range(1, forest.nodes[g, 0].edge_count):
        more = forest.edges[g, edge].visits - forest.edges[g, best].visits
        if more > 0 or (more == 0 and forest.prior[g, edge] > forest.prior[g, best]):
            best = edge
    return best


@kernel
def _pruned_visits(forest: Forest, g: int, policy: np.ndarray, puct: Puct) -> None:
    """The share of visits of each action, less those that only force or noise asked for (Wu 2019,
    section 3.2): as many as PUCT would not have chosen over the most visited edge.
    """
    policy[:] = 0.0
    best, player = _most_visited(forest, g), forest.nodes[g, 0].to_move
    n = 0
    for edge in range(forest.nodes[g, 0].edge_count):
        n += forest.edges[g, edge].visits
    if n == 0:
        for edge in range(forest.nodes[g, 0].edge_count):
            policy[forest.action[g, edge]] = forest.prior[g, edge]
        return
    scale = exploration_rate(n, puct) * np.sqrt(n)
    best_score = as_seen_by(forest.edges[g, best].value_sum, player) / forest.edges[g, best].visits
    best_score += exploration_bonus(scale, forest.prior[g, best], forest.edges[g, best].visits)
    total = 0.0
    for edge in range(forest.nodes[g, 0].edge_count):
        visits = forest.edges[g, edge].visits
        if puct.forced_playouts > 0 and edge != best and visits > 0:
            q = as_seen_by(forest.edges[g, edge].value_sum, player) / visits
            forced = int(np.sqrt(puct.forced_playouts * forest.prior[g, edge] * n))
            while forced > 0 and visits > 0:
                if q + exploration_bonus(scale, forest.prior[g, edge], visits - 1) >= best_score:
                    break
                visits -= 1
                forced -= 1
            if visits <= 1:
                visits = 0
        policy[forest.action[g, edge]] = visits
        total += visits
    policy /= total


@kernel
def summarise(
    forest: Forest, heads: np.ndarray, puct: Puct, gumbel: Gumbel, gumbel_root: bool,
    visits: np.ndarray, values: np.ndarray, priors: np.ndarray, policy: np.ndarray,
    chosen: np.ndarray, root_values: np.ndarray, network_values: np.ndarray, start: int, end: int,
) -> None:  # fmt: skip
    """Fill the arrays of `SearchResult` for the trees [start, end) that have a root; heads float32
    [G, A]."""
    for g in range(start, end):
        if forest.num_nodes[g] == 0:
            continue
        player = forest.nodes[g, 0].to_move
        for edge in range(forest.nodes[g, 0].edge_count):
            action, count = forest.action[g, edge], forest.edges[g, edge].visits
            visits[g, action], priors[g, action] = count, forest.prior[g, edge]
            if count > 0:
                values[g, action] = as_seen_by(forest.edges[g, edge].value_sum, player) / count
        root_values[g] = as_seen_by(
            forest.nodes[g, 0].value_sum / forest.nodes[g, 0].visits, player
        )
        network_values[g] = as_seen_by(forest.nodes[g, 0].network_value, player)
        if gumbel_root:
            improved_policy(forest, g, policy[g], gumbel)
            chosen[g] = _best_of_halving(forest, g, heads[g], gumbel)
        else:
            _pruned_visits(forest, g, policy[g], puct)
            chosen[g] = forest.action[g, _most_visited(forest, g)]


@kernel
def prepare_roots(
    forest: Forest, heads: np.ndarray, considered: np.ndarray, wanted: int, start: int, end: int
) -> None:
    """Make g + logit of Gumbel noise, float32 [G, A], and put the considered edges of the trees
    [start, end) first."""
    for g in range(start, end):
        if forest.num_nodes[g] == 0:
            continue
        for edge in range(forest.nodes[g, 0].edge_count):
            heads[g, edge] += logit_of(forest.prior[g, edge])
        considered[g] = min(wanted, forest.nodes[g, 0].edge_count)
        bring_considered_forward(forest, g, heads[g], considered[g])


@kernel
def read_priors(forest: Forest, priors: np.ndarray) -> None:
    """Write the priors of the roots, float32 [G, A]."""
    for g in range(priors.shape[0]):
        if forest.num_nodes[g] > 0:
            for edge in range(forest.nodes[g, 0].edge_count):
                priors[g, forest.action[g, edge]] = forest.prior[g, edge]


def variation(forest: Forest, g: int, action: int, longest: int) -> tuple[tuple[int, int], ...]:
    """The most visited line that begins with an action of the root: actions and their visits."""
    line: list[tuple[int, int]] = []
    node = 0
    while len(line) < longest and node != NO_CHILD and forest.num_nodes[g]:
        one = forest.nodes[g, node]
        count = one["edge_count"] if node == 0 else one["tried"]
        row = one["first_edge"] + np.arange(count)
        if not line:
            row = row[forest.action[g, row] == action]
        if not len(row):
            break
        edge = int(row[np.argmax(forest.edges["visits"][g, row])])
        if line and not forest.edges["visits"][g, edge]:
            break
        line.append((int(forest.action[g, edge]), int(forest.edges["visits"][g, edge])))
        node = int(forest.edges["child"][g, edge])
    return tuple(line)
