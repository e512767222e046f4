"""Many search trees as arrays: one row a tree, so that G games are searched side by side.

    nodes of tree g      0 (root)      1            2          ...      num_nodes[g]
    first_edge           0             3            5
    edge_count           3             2            2
                         |             |            |
    edges of tree g    [ 0   1   2 ] [ 3   4 ]    [ 5   6 ]    ...      num_edges[g]
    action               d4  c3  pass  e5  pass     d4  pass
    prior                .5  .3  .2    .9  .1       .6  .4
    child                1   2   -1    -1  -1       -1  -1              -1: not expanded

A node is a position that was evaluated once; its edges are its legal actions in a row. Edges of a
node other than the root that were tried come first, then the untried one of the highest prior: the
rest cannot be chosen, so a selection reads the tried ones and one more. Parents come before their
children. Values are sums as the first player sees them; `puct.as_seen_by` is where signs flip.

Legend: G trees, N nodes, E edges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.machine.kernels import kernel

MAX_DEPTH = 512
NO_CHILD = -1


class Forest(NamedTuple):
    """Arrays of G trees."""

    num_nodes: np.ndarray
    """int32 [G]"""
    num_edges: np.ndarray
    """int32 [G]"""
    first_edge: np.ndarray
    """int32 [G, N]"""
    edge_count: np.ndarray
    """int32 [G, N]"""
    tried: np.ndarray
    """Edges of the node that were ever chosen, int32 [G, N]"""
    tried_prior: np.ndarray
    """Sum of their priors, float32 [G, N]"""
    node_pending: np.ndarray
    """Visits of its edges whose evaluation is awaited, int32 [G, N]"""
    to_move: np.ndarray
    """int8 [G, N]"""
    node_visits: np.ndarray
    """The evaluation of the node and all visits of its edges, int32 [G, N]"""
    node_sum: np.ndarray
    """float64 [G, N]"""
    node_value: np.ndarray
    """What the network said of the position, float32 [G, N]"""
    action: np.ndarray
    """int16 [G, E]"""
    prior: np.ndarray
    """float32 [G, E]"""
    visits: np.ndarray
    """int32 [G, E]"""
    value_sum: np.ndarray
    """float32 [G, E]"""
    pending: np.ndarray
    """Visits whose evaluation is awaited, int16 [G, E]"""
    child: np.ndarray
    """int32 [G, E]"""


def make_forest(games: int, nodes: int, actions: int) -> Forest:
    """Return empty trees with room for so many nodes of so many actions each."""

    def zeros(kind: type, *shape: int) -> np.ndarray:
        return np.zeros((games, *shape), kind)

    edges = nodes * actions + 1  # the last is for swaps
    return Forest(
        zeros(np.int32), zeros(np.int32),
        zeros(np.int32, nodes), zeros(np.int32, nodes), zeros(np.int32, nodes),
        zeros(np.float32, nodes), zeros(np.int32, nodes),
        zeros(np.int8, nodes), zeros(np.int32, nodes), zeros(np.float64, nodes),
        zeros(np.float32, nodes),
        zeros(np.int16, edges), zeros(np.float32, edges), zeros(np.int32, edges),
        zeros(np.float32, edges), zeros(np.int16, edges), zeros(np.int32, edges),
    )  # fmt: skip


@kernel
def clear_tree(forest: Forest, g: int) -> None:
    """Leave nothing in a tree: its root is to be evaluated."""
    forest.num_nodes[g] = forest.num_edges[g] = 0


@kernel
def add_node(
    forest: Forest, g: int, to_move: int, value: float, mask: np.ndarray, priors: np.ndarray
) -> int:
    """Append a node with an edge for each action of `mask`; -1 where the tree is full."""
    node, edge = forest.num_nodes[g], forest.num_edges[g]
    if node >= forest.first_edge.shape[1] or edge + mask.size >= forest.action.shape[1]:
        return NO_CHILD
    forest.first_edge[g, node] = edge
    for action in range(mask.size):
        if mask[action]:
            forest.action[g, edge] = action
            forest.prior[g, edge] = priors[action]
            forest.visits[g, edge] = forest.pending[g, edge] = 0
            forest.value_sum[g, edge] = 0.0
            forest.child[g, edge] = NO_CHILD
            edge += 1
    forest.edge_count[g, node] = edge - forest.num_edges[g]
    forest.num_edges[g] = edge
    forest.num_nodes[g] = node + 1
    forest.tried[g, node] = forest.node_pending[g, node] = 0
    forest.tried_prior[g, node] = 0.0
    forest.to_move[g, node] = to_move
    forest.node_visits[g, node] = 1
    forest.node_sum[g, node] = forest.node_value[g, node] = value
    if node > 0:
        bring_best_forward(forest, g, node)
    return node


@kernel
def bring_best_forward(forest: Forest, g: int, node: int) -> None:
    """Move the untried edge of the highest prior to the front of the untried ones."""
    front = forest.first_edge[g, node] + forest.tried[g, node]
    best, best_prior = front, forest.prior[g, front]
    for edge in range(front + 1, forest.first_edge[g, node] + forest.edge_count[g, node]):
        if forest.prior[g, edge] > best_prior:
            best, best_prior = edge, forest.prior[g, edge]
    if best != front:
        action, prior = forest.action[g, front], forest.prior[g, front]
        forest.action[g, front] = forest.action[g, best]
        forest.prior[g, front] = forest.prior[g, best]
        forest.action[g, best], forest.prior[g, best] = action, prior


@kernel
def swap_edges(forest: Forest, g: int, one: int, other: int) -> None:
    """Let two edges of one node change places."""
    spare = forest.action.shape[1] - 1
    _move_edge(forest, g, one, spare)
    _move_edge(forest, g, other, one)
    _move_edge(forest, g, spare, other)


@kernel
def keep_edges(forest: Forest, g: int, allowed: np.ndarray) -> None:
    """Leave a root only the edges of the actions of a mask, uint8 [A]; at least one of them is
    there. Their priors are made to sum to 1."""
    kept, total = 0, 0.0
    for edge in range(forest.edge_count[g, 0]):
        if allowed[forest.action[g, edge]]:
            total += forest.prior[g, edge]
            if edge != kept:
                swap_edges(forest, g, kept, edge)
            kept += 1
    forest.edge_count[g, 0] = kept
    for edge in range(kept):
        forest.prior[g, edge] = forest.prior[g, edge] / total if total > 0 else 1.0 / kept


@kernel
def keep_subtree(forest: Forest, g: int, action: int) -> bool:
    """Make the position after an action of the root the root; False (and an empty tree) if it was
    never expanded. Works in place: nothing moves to a later place.
    """
    root = NO_CHILD
    for edge in range(forest.edge_count[g, 0] if forest.num_nodes[g] > 0 else 0):
        if forest.action[g, edge] == action:
            root = forest.child[g, edge]
    if root == NO_CHILD:
        clear_tree(forest, g)
        return False
    # place[n]: where node n goes. Children come later than their parents, so that one pass marks
    # what is kept, and in the order of nodes nothing is overwritten before it was moved.
    place = np.full(forest.num_nodes[g], NO_CHILD, np.int32)
    place[root] = 0
    nodes, edges = 0, 0
    for node in range(root, place.size):
        if place[node] == NO_CHILD:
            continue
        place[node] = nodes
        nodes += 1
        first = forest.first_edge[g, node]
        for edge in range(first, first + forest.edge_count[g, node]):
            if forest.child[g, edge] != NO_CHILD:
                place[forest.child[g, edge]] = 0
    for node in range(root, place.size):
        if place[node] == NO_CHILD:
            continue
        source, count, target = forest.first_edge[g, node], forest.edge_count[g, node], place[node]
        for offset in range(count):
            _move_edge(forest, g, source + offset, edges + offset)
            child = forest.child[g, edges + offset]
            if child != NO_CHILD:
                forest.child[g, edges + offset] = place[child]
        forest.first_edge[g, target], forest.edge_count[g, target] = edges, count
        forest.tried[g, target] = forest.tried[g, node]
        forest.tried_prior[g, target] = forest.tried_prior[g, node]
        forest.node_pending[g, target] = 0
        forest.to_move[g, target] = forest.to_move[g, node]
        forest.node_visits[g, target] = forest.node_visits[g, node]
        forest.node_sum[g, target] = forest.node_sum[g, node]
        forest.node_value[g, target] = forest.node_value[g, node]
        edges += count
    forest.num_nodes[g], forest.num_edges[g] = nodes, edges
    return True


@kernel
def _move_edge(forest: Forest, g: int, source: int, target: int) -> None:
    forest.action[g, target] = forest.action[g, source]
    forest.prior[g, target] = forest.prior[g, source]
    forest.visits[g, target] = forest.visits[g, source]
    forest.value_sum[g, target] = forest.value_sum[g, source]
    forest.pending[g, target] = forest.pending[g, source]
    forest.child[g, target] = forest.child[g, source]
