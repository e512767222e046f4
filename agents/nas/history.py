"""What a search has found so far: the best, the front, and the numbers and pictures of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from agents.nas.evaluator import Result
from agents.nas.journal import Scored
from agents.nas.pareto import non_dominated
from core.agent import Metrics
from envs.architecture.space import Space, Tokens, key, stages_of

RECENT = 100
"""Children whose tokens a histogram shows."""
LISTED = 50
"""Children in a table; the journal has all."""


class History:
    """All children of a search, in the order of their numbers."""

    def __init__(self, reward: Callable[[Result], float]) -> None:
        """Nothing yet; `reward` says which child is best."""
        self.reward = reward
        self.own: list[Scored] = []
        """The searcher's."""
        self.rivals: list[Scored] = []
        """Random search's, beside it."""
        self.first: dict[Tokens, Result] = {}
        """The first result of each canonical design."""
        self.best: Scored | None = None
        """Of the searcher's, the one with the highest reward; of equals the first."""
        self._seconds: dict[int, float] = {}
        self._had: dict[bool, set[Tokens]] = {False: set(), True: set()}

    def add(self, scored: Scored, design: Tokens) -> None:
        """The next child, and its canonical design."""
        (self.rivals if scored.rival else self.own).append(scored)
        is_free = scored.cached and design in self._had[scored.rival]
        self._seconds[scored.number] = 0.0 if is_free else scored.result.seconds
        self._had[scored.rival].add(design)
        self.first.setdefault(design, scored.result)
        if scored.rival or scored.result.status != "ok":
            return
        if self.best is None or self.reward(scored.result) > self.reward(self.best.result):
            self.best = scored

    def best_so_far(self, children: list[Scored]) -> np.ndarray:
        """The highest reward after each child, float64 [N]."""
        return np.maximum.accumulate([self.reward(child.result) for child in children])

    def spent(self, children: list[Scored]) -> np.ndarray:
        """Seconds that a side's children took up to the end of each, float64 [N].

        Args:
            children: ``own`` or ``rivals``. What the other side had scored before costs as much as
                if it had not; what this one had is free.
        """
        return np.cumsum([self._seconds[child.number] for child in children])

    def at_equal_time(self) -> tuple[float, Scored, Scored] | None:
        """The seconds that the quicker of searcher and random search spent, and the best child that
        each had by then; None where one had none by then, or there is nothing to compare with.

        As many designs of either are no equal budget where one asks for larger networks.
        """
        if not self.own or not self.rivals:
            return None
        sides = [(self.spent(children), children) for children in (self.own, self.rivals)]
        end = min(float(spent[-1]) for spent, _ in sides)
        early = [
            [child for child, at in zip(children, spent, strict=True)
             if at <= end and child.result.status == "ok"]
            for spent, children in sides
        ]  # fmt: skip
        if not end or not all(early):
            return None
        own, rival = (max(some, key=lambda child: self.reward(child.result)) for some in early)
        return end, own, rival

    def front(self) -> list[Scored]:
        """The searcher's designs that no other beats in score and in few parameters."""
        sized = [child for child in self.own if is_sized(child)]
        if not sized:
            return []
        metrics = [c.result.metrics for c in sized]
        kept = non_dominated(np.array([(m["score"], -m["parameters"]) for m in metrics]))
        return [child for child, stays in zip(sized, kept, strict=True) if stays]

    def metrics(self, space: Space) -> Metrics:
        """Numbers, token histograms of each kind of decision, a table of the newest children."""
        if not self.own:
            return Metrics()
        every = self.own + self.rivals
        seconds = sum(child.result.seconds for child in every if not child.cached)
        statuses = Counter(child.result.status for child in every)
        recent = self.own[-RECENT:]
        scalars = {
            "reward/recent_mean": float(np.mean([self.reward(c.result) for c in recent])),
            "reward/best": float(self.best_so_far(self.own)[-1]),
            "children/computed": float(sum(not child.cached for child in every)),
            "children/cached": float(sum(child.cached for child in every)),
            "children/different_designs": float(len(self.first)),
            "children/failed": float(len(every) - statuses["ok"]),
            "children/seconds": seconds,
        }
        for status, count in statuses.items():
            if status != "ok":
                scalars[f"failures/{status.replace(' ', '_')}"] = float(count)
        if self.rivals:
            scalars["reward/best_of_random"] = float(self.best_so_far(self.rivals)[-1])
        if self.best is not None:
            scalars |= {f"best/{name}": v for name, v in self.best.result.metrics.items()}
        texts = {"children": children_table(space, self.own[-LISTED:], self.reward)}
        return Metrics(scalars, _tokens_by_decision(space, recent), texts=texts)


def is_sized(child: Scored) -> bool:
    """Whether it has a score, and its parameters are known."""
    return child.result.status == "ok" and "parameters" in child.result.metrics


def children_table(space: Space, children: list[Scored], reward: Callable[[Result], float]) -> str:
    """Children in Markdown, the newest first: what came of them, and the names of their designs.

    Args:
        space: of the designs.
        children: in the order of their numbers.
        reward: of a result.
    """
    names = list(dict.fromkeys(name for child in children for name in child.result.metrics))
    head = ["child", "design", "status", "reward", *names, "seconds"]
    rows = [head, ["---"] * len(head)]
    for child in reversed(children):
        result = child.result
        shown = [number(result.metrics[name]) if name in result.metrics else "" for name in names]
        seconds = "known" if child.cached else f"{result.seconds:.1f}"
        design = key(space.design(child.tokens))
        worth = number(reward(result))
        rows.append([str(child.number), design, result.status, worth, *shown, seconds])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def number(value: float) -> str:
    """A metric for people: counts in full, others with five digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.5g}"


def _tokens_by_decision(space: Space, children: list[Scored]) -> dict[str, np.ndarray]:
    """Tokens taken for each kind of decision, by its name."""
    taken: dict[str, list[int]] = {}
    for child in children:
        for at, stage in stages_of(space, len(child.tokens)):
            tokens = child.tokens[at : at + stage.num_tokens]
            taken.setdefault(f"tokens/{stage.name.replace(' ', '_')}", []).extend(tokens)
    return {name: np.array(tokens) for name, tokens in taken.items()}
