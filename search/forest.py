"""Many search trees as arrays: one row a tree, so that G games are searched side by side.

    nodes of tree g      0 (root)      1            2          ...      num_nodes[g]
    first_edge           0             3            5
    edge_count           3             2            2
    tried                2             1            0
                         |             |            |
    edges of tree g    [ 0   1   2 ] [ 3   4 ]    [ 5   6 ]    ...      num_edges[g]
    action               d4  c3  pass  e5  pass     d4  pass
    prior                .5  .3  .2    .9  .1       .6  .4
    visits               2   1   0     1   0        0   .               .: never written
    child                1   2   -1    -1  -1       -1  .               -1: not expanded

A node is a position that was evaluated once; its edges are its legal actions in a row. Edges of a
node other than the root that were tried come first, then the untried one of the highest prior: the
rest cannot be chosen, so a selection reads the tried ones and one more, and of the others only
action and prior were ever written. Parents come before their children. Values are sums as the
first player sees them; `puct.as_seen_by` is where signs flip.

What a step of a simulation reads together is a record, in one or two lines of the cache.

Legend: G trees, N nodes, E edges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.machine.kernels import inlined, kernel

MAX_DEPTH = 512
NO_CHILD = -1


class Forest(NamedTuple):
    """Arrays of G trees."""

    num_nodes: np.ndarray
    """int32 [G]"""
    num_edges: np.ndarray
    """int32 [G]"""
    nodes: np.ndarray
    """`NODE` [G, N]"""
    action: np.ndarray
    """int16 [G, E]"""
    prior: np.ndarray
    """float32 [G, E]"""
    edges: np.ndarray
    """`EDGE` [G, E]; not written where no simulation came, except at the root"""


NODE = np.dtype([
    ("value_sum", np.float64),
    ("visits", np.int32),  # the evaluation of the node and all visits of its edges
    ("pending", np.int32),  # visits of its edges whose evaluation is awaited
    ("first_edge", np.int32),
    ("edge_count", np.int16),
    ("tried", np.int16),  # edges of the node that were ever chosen
    ("tried_prior", np.float32),  # sum of their priors
    ("network_value", np.float32),  # what the network said of the position
    ("to_move", np.int8),
], align=True)  # fmt: skip

EDGE = np.dtype([
    ("value_sum", np.float32),
    ("visits", np.int32),
    ("child", np.int32),
    ("pending", np.int16),  # visits whose evaluation is awaited
], align=True)  # fmt: skip


def make_forest(games: int, nodes: int, actions: int) -> Forest:
    """Return empty trees with room for so many nodes of so many actions each."""
    edges = nodes * actions + 1  # the last is for swaps
    return Forest(
        np.zeros(games, np.int32), np.zeros(games, np.int32), np.zeros((games, nodes), NODE),
        np.zeros((games, edges), np.int16), np.zeros((games, edges), np.float32),
        np.zeros((games, edges), EDGE),
    )  # fmt: skip


@kernel
def clear_tree(forest: Forest, g: int) -> None:
    """Leave nothing in a tree: its root is to be evaluated."""
    forest.num_nodes[g] = forest.num_edges[g] = 0


@inlined
def add_node(
    forest: Forest, g: int, to_move: int, value: float, actions: np.ndarray, priors: np.ndarray
) -> int:
    """Append a node with an edge for each of its actions; -1 where the tree is full."""
    node, first, count = forest.num_nodes[g], forest.num_edges[g], actions.size
    if node >= forest.nodes.shape[1] or first + count >= forest.action.shape[1]:
        return NO_CHILD
    for index in range(count):
        forest.action[g, first + index] = actions[index]
        forest.prior[g, first + index] = priors[index]
    forest.num_edges[g] = first + count
    forest.num_nodes[g] = node + 1
    new = forest.nodes[g, node]
    new.first_edge, new.edge_count = first, count
    new.tried = new.pending = 0
    new.tried_prior = 0.0
    new.to_move = to_move
    new.visits = 1
    new.value_sum = new.network_value = value
    if node > 0:
        bring_best_forward(forest, g, node)
    else:
        _clear_edges(forest, g, first, first + count)
    return node


@inlined
def bring_best_forward(forest: Forest, g: int, node: int) -> None:
    """Move the untried edge of the highest prior to the front of the untried ones."""
    parent = forest.nodes[g, node]
    front = parent.first_edge + parent.tried
    best, best_prior = front, forest.prior[g, front]
    for edge in range(front + 1, parent.first_edge + parent.edge_count):
        if forest.prior[g, edge] > best_prior:
            best, best_prior = edge, forest.prior[g, edge]
    if best != front:
        action, prior = forest.action[g, front], forest.prior[g, front]
        forest.action[g, front] = forest.action[g, best]
        forest.prior[g, front] = forest.prior[g, best]
        forest.action[g, best], forest.prior[g, best] = action, prior
    _clear_edges(forest, g, front, front + 1)


@inlined
def _clear_edges(forest: Forest, g: int, first: int, last: int) -> None:
    """Let the edges [first, last) have no visits and no children."""
    for edge in range(first, last):
        new = forest.edges[g, edge]
        new.visits = new.pending = 0
        new.value_sum = 0.0
        new.child = NO_CHILD


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
    for edge in range(forest.nodes[g, 0].edge_count):
        if allowed[forest.action[g, edge]]:
            total += forest.prior[g, edge]
            if edge != kept:
                swap_edges(forest, g, kept, edge)
            kept += 1
    forest.nodes[g, 0].edge_count = kept
    for edge in range(kept):
        forest.prior[g, edge] = forest.prior[g, edge] / total if total > 0 else 1.0 / kept


@kernel
def keep_subtree(forest: Forest, g: int, action: int) -> bool:
    """Make the position after an action of the root the root; False (and an empty tree) if it was
    never expanded. Works in place: nothing moves to a later place.
    """
    root = NO_CHILD
    for edge in range(forest.nodes[g, 0].edge_count if forest.num_nodes[g] > 0 else 0):
        if forest.action[g, edge] == action:
            root = forest.edges[g, edge].child
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
        first = forest.nodes[g, node].first_edge
        for edge in range(first, first + forest.nodes[g, node].tried):
            if forest.edges[g, edge].child != NO_CHILD:
                place[forest.edges[g, edge].child] = 0
    for node in range(root, place.size):
        if place[node] == NO_CHILD:
            continue
        forest.nodes[g, place[node]] = forest.nodes[g, node]
        moved = forest.nodes[g, place[node]]
        for offset in range(moved.edge_count):
            _move_edge(forest, g, moved.first_edge + offset, edges + offset)
        moved.first_edge, moved.pending = edges, 0
        for edge in range(edges, edges + moved.tried):
            if forest.edges[g, edge].child != NO_CHILD:
                forest.edges[g, edge].child = place[forest.edges[g, edge].child]
        edges += moved.edge_count
    _clear_edges(forest, g, forest.nodes[g, 0].tried, forest.nodes[g, 0].edge_count)
    forest.num_nodes[g], forest.num_edges[g] = nodes, edges
    return True


@inlined
def _move_edge(forest: Forest, g: int, source: int, target: int) -> None:
    forest.action[g, target] = forest.action[g, source]
    forest.prior[g, target] = forest.prior[g, source]
    forest.edges[g, target] = forest.edges[g, source]
