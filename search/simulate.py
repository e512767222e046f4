"""One tick of a batch of searches, in order: descend, look, (evaluate), back up, expand.

With rollouts (Silver et al. 2016) a leaf is also played to its end, and worth (1 - weight) v +
weight z; simulations go on below a node once its edge had a number of visits, and until then end
there, with the value that is known and another rollout.

A slot is a leaf that waits for the network. `tick` takes what the network said of the slots of a
range of games into their trees, and fills the slots anew. Ranges are disjoint, so threads need no
locks and give the same trees as one thread.

Legend: G games, L leaves a game and tick, B = G L slots, P distinct budgets, A actions, C planes,
H W board, S words of a state, T threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from core.machine.kernels import inlined, kernel
from envs.games.state import OUTCOME, TO_MOVE, copy_state, is_over
from search.forest import MAX_DEPTH, NO_CHILD, Forest, add_node, bring_best_forward
from search.gumbel import Gumbel, considered_edge
from search.puct import Puct, as_seen_by, select_edge

IDLE, WAITING = 0, 1
_LEAF, _DECIDED, _COLLISION, _CLOSED = 0, 1, 2, 3


class Slots(NamedTuple):
    """Leaves that wait for the network."""

    status: np.ndarray
    """IDLE or WAITING, int8 [B]"""
    planes: np.ndarray
    """uint8 [B, C, H, W]"""
    legal: np.ndarray
    """uint8 [B, A]"""
    handicap: np.ndarray
    """Half points that the player to move is given, int32 [B]"""
    to_move: np.ndarray
    """int8 [B]"""
    path: np.ndarray
    """Edges from the root, int32 [B, MAX_DEPTH]"""
    depth: np.ndarray
    """Number of edges in the path, int32 [B]"""
    rollout: np.ndarray
    """Outcome of a game played on from the leaf as the first player sees it, float32 [B]"""


class Roots(NamedTuple):
    """What is searched, and how far it came."""

    states: np.ndarray
    """int32 [G, S]"""
    budget: np.ndarray
    """Simulations wanted, int32 [G]"""
    started: np.ndarray
    """int32 [G]"""
    heads: np.ndarray
    """g + logit of the root's edges, float32 [G, A]"""
    plan: np.ndarray
    """Which schedule a game follows, that of its budget, int32 [G]"""
    schedule: np.ndarray
    """Of each plan, for each number of considered actions: visits wanted of the next, int32
    [P, A + 1, n]; without columns: the root is a node like any other."""
    considered: np.ndarray
    """Considered actions, int32 [G]"""


class Scratch(NamedTuple):
    """Memory of each thread."""

    states: np.ndarray
    """int32 [T, S]"""
    actions: np.ndarray
    """Legal actions of a leaf in a row, int16 [T, A + 1]"""
    priors: np.ndarray
    """Theirs, float32 [T, A + 1]"""


class Rollouts(NamedTuple):
    """How leaves are played to their ends, for one thread."""

    weight: float
    """lambda: share of the outcome in a leaf's value; the rest is the network's."""
    guide: Any
    """What the game's `guided_playout` takes."""
    state: np.ndarray
    """Scratch, int32 [S]"""
    mask: np.ndarray
    """Scratch, uint8 [A]"""
    rng: np.ndarray
    """uint64 [1]"""


class Verdicts(NamedTuple):
    """What the network said of waiting slots."""

    rows: np.ndarray
    """Where the slot is in the arrays below, int32 [B]"""
    logits: np.ndarray
    """Of the turned board, float32 [rows, A]"""
    values: np.ndarray
    """Of the player to move, float32 [rows]"""
    actions: np.ndarray
    """Where the turn took each action, int32 [A]"""


@inlined
def _choose_edge(
    forest: Forest, roots: Roots, g: int, node: int, puct: Puct, gumbel: Gumbel
) -> int:
    """Sequential halving at the root where it is wanted, PUCT elsewhere."""
    if node == 0 and roots.schedule.shape[2] > 0:
        step = min(roots.started[g], roots.schedule.shape[2] - 1)
        wanted = roots.schedule[roots.plan[g], roots.considered[g], step]
        return considered_edge(forest, g, roots.heads[g], roots.considered[g], wanted, gumbel)
    return select_edge(forest, g, node, puct)


@inlined
def _descend(
    game: Any, forest: Forest, roots: Roots, g: int, state: np.ndarray, path: np.ndarray,
    puct: Puct, gumbel: Gumbel,
) -> tuple[int, int, float]:  # fmt: skip
    """Follow edges to a leaf; return (kind, depth, first player's value where it is decided).

    `state` becomes the leaf's position. Every edge on the way awaits a visit from now on.
    """
    copy_state(roots.states[g], state)
    node, depth = 0, 0
    while depth < MAX_DEPTH:
        edge = _choose_edge(forest, roots, g, node, puct, gumbel)
        visits, pending = forest.edges[g, edge].visits, forest.edges[g, edge].pending
        child = forest.edges[g, edge].child
        path[depth] = edge
        depth += 1
        forest.edges[g, edge].pending = pending + 1
        forest.nodes[g, node].pending += 1
        if visits + pending == 0:
            forest.nodes[g, node].tried_prior += forest.prior[g, edge]
            forest.nodes[g, node].tried += 1
            if node > 0 and forest.nodes[g, node].tried < forest.nodes[g, node].edge_count:
                bring_best_forward(forest, g, node)
        if child == NO_CHILD and pending > 0:
            return _COLLISION, depth, 0.0
        game.play(state, forest.action[g, edge])
        if is_over(state):
            return _DECIDED, depth, float(state[OUTCOME])
        if child == NO_CHILD:
            return _LEAF, depth, 0.0
        if visits < puct.expand_after:
            return _CLOSED, depth, forest.nodes[g, child].network_value
        node = child
    return _DECIDED, depth, forest.nodes[g, node].network_value


@inlined
def _back_up(forest: Forest, g: int, path: np.ndarray, depth: int, value: float) -> None:
    """Count the first player's value along a path of awaited visits."""
    node = 0
    for index in range(depth):
        edge = path[index]
        forest.edges[g, edge].pending -= 1
        forest.edges[g, edge].visits += 1
        forest.edges[g, edge].value_sum += value
        forest.nodes[g, node].pending -= 1
        forest.nodes[g, node].visits += 1
        forest.nodes[g, node].value_sum += value
        node = forest.edges[g, edge].child


@inlined
def _take_back(forest: Forest, g: int, path: np.ndarray, depth: int) -> None:
    """Await no visit along a path any more."""
    node = 0
    for index in range(depth):
        forest.edges[g, path[index]].pending -= 1
        forest.nodes[g, node].pending -= 1
        node = forest.edges[g, path[index]].child


@inlined
def _mixed(rollouts: Any, value: float, outcome: float) -> float:
    """A leaf's value from the network's and the rollout's."""
    if rollouts is None:
        return value
    return (1.0 - rollouts.weight) * value + rollouts.weight * outcome


@inlined
def _grow(
    game: Any, forest: Forest, roots: Roots, slots: Slots, scratch: Scratch, puct: Puct,
    gumbel: Gumbel, rollouts: Any, first: int, last: int, thread: int,
) -> None:  # fmt: skip
    """Fill the slots of games [first, last); decided positions are backed up at once.

    Each large piece is called in one place only: the compiler takes time for every copy.
    """
    leaves = slots.status.size // roots.budget.size
    state = scratch.states[thread]
    for g in range(first, last):
        slot, end = g * leaves, (g + 1) * leaves
        slots.status[slot:end] = IDLE
        if is_over(roots.states[g]):
            continue
        is_root = forest.num_nodes[g] == 0
        while slot < end and (is_root or roots.started[g] < roots.budget[g]):
            kind, depth, value = _LEAF, 0, 0.0
            path = slots.path[slot]
            if is_root:
                copy_state(roots.states[g], state)
                end = slot + 1
            else:
                kind, depth, value = _descend(game, forest, roots, g, state, path, puct, gumbel)
                if kind == _COLLISION:
                    _take_back(forest, g, path, depth)
                    break
                roots.started[g] += 1
            outcome = 0.0
            if rollouts is not None:  # noqa: SIM102 - numba leaves the branch out by this alone
                if kind != _DECIDED:
                    copy_state(state, rollouts.state)
                    game.guided_playout(rollouts.state, rollouts.rng, rollouts.mask, rollouts.guide)
                    outcome = float(rollouts.state[OUTCOME])
            if kind != _LEAF:
                if kind == _CLOSED:
                    value = _mixed(rollouts, value, outcome)
                _back_up(forest, g, path, depth, value)
                continue
            slots.status[slot] = WAITING
            slots.depth[slot] = depth
            slots.rollout[slot] = outcome
            slots.to_move[slot] = state[TO_MOVE]
            slots.handicap[slot] = game.handicap(state)
            game.legal(state, slots.legal[slot])
            game.observe(state, slots.planes[slot])
            slot += 1


@inlined
def _softmax(
    logits: np.ndarray, legal: np.ndarray, turned: np.ndarray, actions: np.ndarray,
    priors: np.ndarray,
) -> int:  # fmt: skip
    """Write the legal actions in a row and their priors, from logits of the turned board; return
    their number."""
    count = 0
    for action in range(legal.size):
        # Without a branch: the next action takes the place of an illegal one.
        actions[count] = action
        priors[count] = logits[turned[action]]
        count += legal[action]
    highest, total = np.float32(-np.inf), np.float32(0.0)
    for index in range(count):
        highest = max(highest, priors[index])
    for index in range(count):
        priors[index] = np.exp(priors[index] - highest)
        total += priors[index]
    for index in range(count):
        priors[index] /= total
    return count


@inlined
def _finish(
    forest: Forest, slots: Slots, scratch: Scratch, verdicts: Verdicts, rollouts: Any, leaves: int,
    first: int, last: int, thread: int,
) -> None:  # fmt: skip
    """Back up and expand the leaves of games [first, last)."""
    actions, priors = scratch.actions[thread], scratch.priors[thread]
    for slot in range(first * leaves, last * leaves):
        if slots.status[slot] != WAITING:
            continue
        g, row, player = slot // leaves, verdicts.rows[slot], slots.to_move[slot]
        logits, legal = verdicts.logits[row], slots.legal[slot]
        count = _softmax(logits, legal, verdicts.actions, actions, priors)
        value = as_seen_by(verdicts.values[row], player)
        node = add_node(forest, g, player, value, actions[:count], priors[:count])
        value = _mixed(rollouts, value, slots.rollout[slot])
        if node != NO_CHILD:
            forest.nodes[g, node].value_sum = value
        depth = slots.depth[slot]
        if depth > 0:
            # Backed up first: the walk ends at the edge that the new node hangs on.
            _back_up(forest, g, slots.path[slot], depth, value)
            forest.edges[g, slots.path[slot, depth - 1]].child = node
        slots.status[slot] = IDLE


@kernel
def tick(
    game: Any, forest: Forest, roots: Roots, slots: Slots, scratch: Scratch, puct: Puct,
    gumbel: Gumbel, verdicts: Verdicts, rollouts: Any, grows: bool, first: int, last: int,
    thread: int,
) -> None:  # fmt: skip
    """Finish what waits in games [first, last); where the search goes on, fill their slots anew.

    `rollouts` is None where the network alone judges leaves.
    """
    leaves = slots.status.size // roots.budget.size
    _finish(forest, slots, scratch, verdicts, rollouts, leaves, first, last, thread)
    if grows:
        _grow(game, forest, roots, slots, scratch, puct, gumbel, rollouts, first, last, thread)
