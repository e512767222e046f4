"""UCT: Monte-Carlo tree search with random playouts (Kocsis and Szepesvari 2006; Coulom 2006).

One playout walks down the tree by UCB1, expands the leaf, plays at random to the end and counts
the outcome along its path. The tree is arrays; node 0 is the root; the children of a node lie in a
row. Values are sums of outcomes as the first player sees them.

With a guide the game's own policy (patterns, for Go) can play the rest, and can say which moves to
look at first: PUCT with its chances as priors (Rosin 2011; Silver et al. 2016). Rapid action values
(RAVE; Gelly and Silver 2011) count a playout for all moves at a node that its player made first
later on.

Legend: N nodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from core.machine.kernels import kernel
from core.machine.random_numbers import random_below
from envs.games.state import FIRST, OUTCOME, TO_MOVE, copy_state, is_over

MAX_DEPTH = 512
REDUCTION = 0.1
"""How much worse than its parent a move with a prior is taken to be before it was tried."""


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
    priors: np.ndarray
    """The action's chance before anything was tried, float32 [N]"""
    rapid_visits: np.ndarray
    """Playouts in which the move came later, int32 [N]"""
    rapid_outcomes: np.ndarray
    """Sum of their outcomes, float64 [N]"""
    size: np.ndarray
    """Nodes in use, int64 [1]"""


def make_tree(nodes: int) -> Tree:
    """Return a tree that has room for so many nodes and holds the root alone."""
    integers = [np.zeros(nodes, np.int32) for _ in range(5)]
    visits, actions, first_child, children, rapid_visits = integers
    outcomes, rapid_outcomes = np.zeros(nodes), np.zeros(nodes)
    priors, size = np.zeros(nodes, np.float32), np.ones(1, np.int64)
    return Tree(
        visits, outcomes, actions, first_child, children, priors, rapid_visits, rapid_outcomes, size
    )


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
    tree.visits[row] = tree.children[row] = tree.first_child[row] = tree.rapid_visits[row] = 0
    tree.outcomes[row] = tree.rapid_outcomes[row] = 0.0
    tree.priors[row] = 1 / count
    tree.first_child[0], tree.children[0], tree.size[0] = 1, count, 1 + count


@kernel
def _select_child(
    tree: Tree, node: int, player: int, exploration: float, first_play_urgency: float,
    rapid: float, prior: float,
) -> int:  # fmt: skip
    """The child with the highest bound: its value, and a bonus for what is little known.

    The value is mixed with the rapid one, which weighs sqrt(rapid / (3 visits + rapid)). The bonus
    is UCB1's, and a child never tried counts as its urgency; or prior P sqrt(n) / (1 + visits), and
    a child never tried is taken to be REDUCTION worse than its parent.
    """
    sign = 1.0 if player == FIRST else -1.0
    log_visits, spread = np.log(tree.visits[node] + 1.0), prior * np.sqrt(tree.visits[node])
    untried = sign * tree.outcomes[node] / max(1, tree.visits[node]) - REDUCTION
    best, best_bound = 0, -np.inf
    for child in range(tree.first_child[node], tree.first_child[node] + tree.children[node]):
        visits = tree.visits[child]
        value, known, tries = 0.0, visits > 0, float(visits)
        if visits > 0:
            value = sign * tree.outcomes[child] / visits
        if rapid > 0 and tree.rapid_visits[child] > 0:
            share = np.sqrt(rapid / (3 * visits + rapid))
            others = sign * tree.rapid_outcomes[child] / tree.rapid_visits[child]
            value, known, tries = share * others + (1 - share) * value, True, visits + 1.0
        bound = first_play_urgency
        if prior > 0:
            bound = (value if known else untried) + spread * tree.priors[child] / (1 + visits)
        elif known:
            bound = value + exploration * np.sqrt(log_visits / tries)
        if bound > best_bound:
            best, best_bound = child, bound
    return best


@kernel
def add_priors(
    game: Any, tree: Tree, node: int, state: np.ndarray, mask: np.ndarray, guide: Any,
    chances: np.ndarray,
) -> None:  # fmt: skip
    """Write what the guide thinks of a node's children; `mask` marks all legal actions."""
    game.chances(state, mask, guide, chances)
    first, last = tree.first_child[node], tree.first_child[node] + tree.children[node]
    total = 0.0
    for child in range(first, last):
        total += chances[tree.actions[child]]
    for child in range(first, last):
        own = chances[tree.actions[child]]
        tree.priors[child] = own / total if total > 0 else 1 / (last - first)


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
        tree.outcomes[child] = tree.rapid_outcomes[child] = 0.0
        tree.rapid_visits[child] = 0
    tree.first_child[node], tree.children[node] = first, count
    tree.size[0] = first + count
    return True


@kernel
def _count_rapidly(
    tree: Tree, path: np.ndarray, depth: int, player: int, mask: np.ndarray, outcome: int
) -> None:
    """Count the outcome for all moves of the path's nodes that their player made first, later on.

    `mask` holds who was first to play each action after the path, and is changed.
    """
    for index in range(depth - 1, -1, -1):
        node, mover = path[index], (player ^ (index & 1)) + 1
        if index + 1 < depth:
            mask[tree.actions[path[index + 1]]] = mover
        for child in range(tree.first_child[node], tree.first_child[node] + tree.children[node]):
            if mask[tree.actions[child]] == mover:
                tree.rapid_visits[child] += 1
                tree.rapid_outcomes[child] += outcome


@kernel
def _play_on(
    game: Any, state: np.ndarray, mask: np.ndarray, rng: np.ndarray, guide: Any, guided: bool
) -> None:
    """Play a game that goes on to its end."""
    if is_over(state):
        mask[:] = 0
    elif guide is not None and guided:
        game.guided_playout(state, rng, mask, guide)
    else:
        game.playout(state, rng, mask)


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
    rapid: float,
    guide: Any,
    guided: bool,
    prior: float,
) -> None:
    """Run playouts from the position `root`; `state` and `mask` are scratch, rng uint64 [1].

    `guide`: None, or what the game's `guided_playout` and `chances` take. `guided`: it plays the
    rest. `prior`: weight of its chances, 0 for UCB1. `rapid` above 0 needs guided playouts, and
    players who take turns.
    """
    path = np.empty(MAX_DEPTH, np.int32)
    chances = np.empty(mask.size)
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
                if guide is not None and prior > 0:
                    add_priors(game, tree, node, state, mask, guide, chances)
            node = _select_child(
                tree, node, state[TO_MOVE], exploration, first_play_urgency, rapid, prior
            )
            game.play(state, tree.actions[node])
            path[depth] = node
            depth += 1
        _play_on(game, state, mask, rng, guide, guided)
        outcome = state[OUTCOME]
        if rapid > 0:
            _count_rapidly(tree, path, depth, root[TO_MOVE], mask, outcome)
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
