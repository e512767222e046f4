"""UCT: Monte-Carlo tree search with random playouts (Kocsis and Szepesvari 2006; Coulom 2006).

One playout walks down the tree by UCB1, expands the leaf, plays at random to the end and counts
the outcome along its path. The tree is arrays; node 0 is the root; the children of a node lie in a
row. Values are sums of outcomes as the first player sees them.

Legend: N nodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from core.machine.kernels import kernel
from core.machine.random_numbers import random_below
from envs.games.state import FIRST, OUTCOME, TO_MOVE, copy_state, is_over

MAX_DEPTH = 512


class Tree(NamedTuple):
    """Arrays of one tree."""

    visits: np.ndarray
    """int32 [N]"""
    outcomes: np.ndarray
    """Sum of outcomes, float64 [N]"""
    actions: np.ndarray
    """The action that leads to the node, int32 [N]"""
    first_child: np.ndarray
    """int32 [N], 0: not expanded"""
    children: np.ndarray
    """Number of children, int32 [N]"""
    size: np.ndarray
    """Nodes in use, int64 [1]"""


def make_tree(nodes: int) -> Tree:
    """Return a tree that has room for so many nodes and holds the root alone."""
    integers = [np.zeros(nodes, np.int32) for _ in range(4)]
    visits, actions, first_child, children = integers
    size = np.ones(1, np.int64)
    return Tree(visits, np.zeros(nodes, np.float64), actions, first_child, children, size)


def clear_tree(tree: Tree) -> None:
    """Leave the root alone in the tree."""
    tree.size[0] = 1
    tree.visits[0] = tree.children[0] = tree.first_child[0] = 0
    tree.outcomes[0] = 0.0


def restrict_root(tree: Tree, actions: list[int]) -> None:
    """Give the root of an empty tree children for these actions alone."""
    count = len(actions)
    row = slice(1, 1 + count)
    tree.actions[row] = actions
    tree.visits[row] = tree.children[row] = tree.first_child[row] = 0
    tree.outcomes[row] = 0.0
    tree.first_child[0], tree.children[0], tree.size[0] = 1, count, 1 + count


@kernel
def _select_child(
    tree: Tree, node: int, player: int, exploration: float, first_play_urgency: float
) -> int:
    """The child with the highest upper confidence bound; one never tried counts as its urgency."""
    log_visits = np.log(tree.visits[node] + 1.0)
    sign = 1.0 if player == FIRST else -1.0
    best, best_bound = 0, -np.inf
    for child in range(tree.first_child[node], tree.first_child[node] + tree.children[node]):
        visits = tree.visits[child]
        bound = first_play_urgency
        if visits > 0:
            mean = sign * tree.outcomes[child] / visits
            bound = mean + exploration * np.sqrt(log_visits / visits)
        if bound > best_bound:
            best, best_bound = child, bound
    return best


@kernel
def _expand(
    game: Any, tree: Tree, node: int, state: np.ndarray, mask: np.ndarray, rng: np.ndarray
) -> bool:
    """Add a child for every legal action, in random order; False if the tree is full."""
    game.legal(state, mask)
    first = tree.size[0]
    count = 0
    if first + mask.size > tree.visits.size:
        return False
    for action in range(mask.size):
        if mask[action]:
            # Inside-out shuffle: equals are tried in no order of their own.
            count += 1
            place = random_below(rng, count)
            tree.actions[first + count - 1] = tree.actions[first + place]
            tree.actions[first + place] = action
    for child in range(first, first + count):
        tree.visits[child] = tree.children[child] = tree.first_child[child] = 0
        tree.outcomes[child] = 0.0
    tree.first_child[node], tree.children[node] = first, count
    tree.size[0] = first + count
    return True


@kernel
def run_playouts(
    game: Any,
    tree: Tree,
    root: np.ndarray,
    state: np.ndarray,
    mask: np.ndarray,
    rng: np.ndarray,
    playouts: int,
    exploration: float,
    first_play_urgency: float,
    expand_after: int,
) -> None:
    """Run playouts from the position `root`; `state` and `mask` are scratch, rng uint64 [1]."""
    path = np.empty(MAX_DEPTH, np.int32)
    for _ in range(playouts):
        copy_state(root, state)
        node, depth = 0, 1
        path[0] = 0
        while not is_over(state) and depth < MAX_DEPTH:
            if tree.children[node] == 0:
                if node != 0 and tree.visits[node] < expand_after:
                    break
                if not _expand(game, tree, node, state, mask, rng):
                    break
            node = _select_child(tree, node, state[TO_MOVE], exploration, first_play_urgency)
            game.play(state, tree.actions[node])
            path[depth] = node
            depth += 1
        if not is_over(state):
            game.playout(state, rng, mask)
        outcome = state[OUTCOME]
        for index in range(depth):
            tree.visits[path[index]] += 1
            tree.outcomes[path[index]] += outcome


def line_of(trees: list[Tree], action: int, longest: int = 10) -> tuple[tuple[int, int], ...]:
    """The line of most visits in all trees that begins with an action: actions and their visits."""
    line: list[tuple[int, int]] = []
    nodes, best = [(tree, 0) for tree in trees], action
    while nodes and len(line) < longest:
        rows = []
        for tree, node in nodes:
            first = int(tree.first_child[node])
            rows.append((tree, slice(first, first + int(tree.children[node]))))
        if line:
            actions = np.concatenate([tree.actions[row] for tree, row in rows])
            visits = np.concatenate([tree.visits[row] for tree, row in rows])
            if not visits.any():
                break
            best = int(np.argmax(np.bincount(actions, weights=visits)))
        nodes = [
            (tree, row.start + int(place))
            for tree, row in rows
            for place in np.flatnonzero(tree.actions[row] == best)
        ]
        count = sum(int(tree.visits[node]) for tree, node in nodes)
        if not count:
            break
        line.append((best, count))
    return tuple(line)
