"""Tree search written from the papers with objects and loops, to compare the kernels with.

Values are kept for the player to move at each node, so signs flip where the player changes; the
kernels keep the first player's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from envs.games.session import Session


@dataclass
class Edge:
    action: int
    prior: float
    visits: int = 0
    total: float = 0.0
    child: Node | None = None

    @property
    def q(self) -> float:
        return self.total / self.visits


@dataclass
class Node:
    player: int
    value: float
    edges: list[Edge] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.total = self.value

    @property
    def visits(self) -> int:
        return 1 + sum(edge.visits for edge in self.edges)


def stand_in(planes: np.ndarray, actions: int) -> tuple[np.ndarray, float]:
    """A network's answer that depends on every cell and on nothing else."""
    weights = np.arange(1, planes.size + 1) * 0.7548776662466927 % 1.0
    code = float((planes.ravel().astype(np.float64) * weights).sum())
    logits = np.sin(code * 3.1 + np.arange(actions) * 12.9898) * 2.0
    return logits.astype(np.float32), float(np.float32(math.sin(code * 7.7)))


class SlowSearch:
    """With `rollout`, which tells the first player's outcome of a game played on from a position,
    and `weight`, a leaf is worth (1 - weight) v + weight z; below an edge of fewer visits than
    `expand_after` no simulation goes on (Silver et al. 2016)."""

    def __init__(
        self,
        session: Session,
        exploration: float = 1.1,
        reduction: float = 0.2,
        rollout: Callable[[Session], float] | None = None,
        weight: float = 0.0,
        expand_after: int = 1,
    ) -> None:
        self.session, self.exploration, self.reduction = session, exploration, reduction
        self.rollout, self.weight, self.expand_after = rollout, weight, expand_after
        self.root = self.expand(session)
        self.root.total = self.leaf_value(self.root, session)

    def expand(self, session: Session) -> Node:
        legal = np.flatnonzero(session.legal_mask())
        logits, value = stand_in(session.observation(), len(session.legal_mask()))
        odds = np.exp(logits[legal] - logits[legal].max())
        priors = odds / odds.sum()
        edges = [Edge(int(a), float(p)) for a, p in zip(legal, priors, strict=True)]
        return Node(session.to_move, value, edges)

    def leaf_value(self, node: Node, session: Session) -> float:
        """For the player to move there."""
        if self.rollout is None:
            return node.value
        z = self.rollout(session) * (1 if session.to_move == 0 else -1)
        return (1 - self.weight) * node.value + self.weight * z

    def puct(self, node: Node) -> Edge:
        """AlphaZero's formula, with a first-play urgency as in KataGo (none at the root)."""
        n = sum(edge.visits for edge in node.edges)
        tried = sum(edge.prior for edge in node.edges if edge.visits)
        mean = node.total / node.visits
        rate = math.log((1 + n + 19652) / 19652) + self.exploration
        reduction = 0.0 if node is self.root else self.reduction

        def score(edge: Edge) -> float:
            q = edge.q if edge.visits else mean - reduction * math.sqrt(tried)
            return q + rate * edge.prior * math.sqrt(max(n, 1)) / (1 + edge.visits)

        return max(node.edges, key=score)

    def simulate(self, first: Edge | None = None) -> None:
        session = Session(self.session.game, self.session.options, self.session.state)
        node, path = self.root, []
        while True:
            edge = first if first is not None and not path else self.puct(node)
            path.append((node, edge))
            session.play(edge.action)
            if session.is_over:
                black = float(session.outcome)
                break
            if edge.child is None or edge.visits < self.expand_after:
                known = edge.child
                edge.child = known or self.expand(session)
                value = self.leaf_value(edge.child, session)
                if known is None:
                    edge.child.total = value
                black = value if session.to_move == 0 else -value
                break
            node = edge.child
        for node, edge in path:
            own = black if node.player == 0 else -black
            edge.visits += 1
            edge.total += own
            node.total += own

    # ------------------------------ Danihelka et al. 2022, section 3 and appendix

    def sigma(self, q: float) -> float:
        most = max(edge.visits for edge in self.root.edges)
        return (50 + most) * 1.0 * (q + 1) / 2

    def completed(self) -> list[float]:
        seen = [edge for edge in self.root.edges if edge.visits]
        value = self.root.value
        if seen:
            n = sum(edge.visits for edge in seen)
            weight = sum(edge.prior for edge in seen)
            weighted = sum(edge.prior * edge.q for edge in seen)
            value = (value + n * weighted / weight) / (1 + n)
        return [edge.q if edge.visits else value for edge in self.root.edges]

    def scores(self, noise: np.ndarray) -> list[float]:
        return [
            noise[index] + math.log(edge.prior) + self.sigma(q)
            for index, (edge, q) in enumerate(zip(self.root.edges, self.completed(), strict=True))
        ]

    def gumbel(self, simulations: int, considered: int, noise: np.ndarray) -> int:
        """Sequential halving, phase by phase; returns the action."""
        edges = self.root.edges
        m = remaining = min(considered, len(edges))
        spent = visits = 0
        while spent < simulations:
            rounds = 1
            if m > 1:
                rounds = max(1, simulations // (math.ceil(math.log2(m)) * remaining))
            for _ in range(rounds):
                # As its authors' code: the best of those that were in every round so far.
                for _ in range(remaining):
                    if spent == simulations:
                        break
                    scores = self.scores(noise)
                    alive = [i for i, edge in enumerate(edges) if edge.visits == visits]
                    self.simulate(edges[max(alive, key=lambda i: scores[i])])
                    spent += 1
                visits += 1
            remaining = max(2, remaining // 2) if m > 1 else 1
        scores = self.scores(noise)
        most = max(edge.visits for edge in edges)
        best = max(
            (i for i, edge in enumerate(edges) if edge.visits == most), key=lambda i: scores[i]
        )
        return edges[best].action

    def policy(self) -> np.ndarray:
        policy = np.zeros(len(self.session.legal_mask()))
        scores = self.scores(np.zeros(len(self.root.edges)))
        for edge, score in zip(self.root.edges, scores, strict=True):
            policy[edge.action] = math.exp(score - max(scores))
        return policy / policy.sum()


class StandIn:
    """`stand_in` for a batch, as an evaluator."""

    def __init__(self, actions: int, overlaps: bool = False) -> None:
        self.actions, self.overlaps = actions, overlaps

    def begin(self, planes: np.ndarray, handicap: np.ndarray, cells: Any) -> Any:
        if cells is not None:
            planes = planes.reshape(*planes.shape[:2], -1)[:, :, cells].reshape(planes.shape)
        answers = [stand_in(one, self.actions) for one in planes]
        logits = np.stack([answer[0] for answer in answers])
        values = np.array([answer[1] for answer in answers], np.float32)
        return lambda: (logits, values)
