"""A tiny space, and evaluators whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.nas.agent import ArchitectureSearch
from agents.nas.evaluator import Child, Result
from agents.nas.journal import Journal
from agents.nas.reward import Reward
from envs.architecture.space import Choice, Tokens, sample


class TinySpace:
    """Three digits of which the first two may be swapped: 36 designs mean 24 networks or fewer."""

    name = "tiny"
    stages = (Choice("digit", (0, 1, 2)), Choice("digit", (0, 1, 2)), Choice("last", (0, 1, 2, 3)))
    lengths = (3,)

    def legal(self, tokens: Sequence[int]) -> np.ndarray:
        return np.ones(len(self.stages[len(tokens)].options), np.bool_)

    def canonical(self, tokens: Sequence[int]) -> Tokens:
        return (min(tokens[:2]), max(tokens[:2]), tokens[2])

    def design(self, tokens: Sequence[int]) -> dict[str, Any]:
        return {"space": "tiny", "digits": list(tokens)}


class Climber:
    """Samples, and goes back to the best design that it was told of: what it asks for depends on
    every reward and on its random numbers."""

    def __init__(self, seed: int) -> None:
        self.space = TinySpace()
        self.random = np.random.default_rng(seed)
        self.best: tuple[float, Tokens] = (-np.inf, (0, 0, 0))
        self.asked = 0

    def ask(self, count: int) -> list[Tokens]:
        designs = [sample(self.space, self.random) for _ in range(count - 1)]
        mixed = tuple(self.best[1][:2]) + designs[0][2:]
        self.asked += count
        return [*designs, mixed]

    def tell(self, designs: Sequence[Tokens], rewards: np.ndarray) -> None:
        self.best = max(self.best, *zip(rewards.tolist(), designs, strict=True))

    def state_dict(self) -> dict[str, Any]:
        best = [self.best[0], list(self.best[1])]
        return {"random": self.random.bit_generator.state, "best": best, "asked": self.asked}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.random.bit_generator.state = state["random"]
        self.best = (state["best"][0], tuple(state["best"][1]))
        self.asked = state["asked"]


def worth(child: Child) -> Result:
    """Depends on the design and the child's number, as a training does; some fail."""
    if child.tokens[2] == 3:
        return Result("diverged", message="as all of this kind")
    noise = float(np.random.default_rng(child.number).random())
    return Result("ok", {"score": sum(child.tokens) + noise / 3, "parameters": 10.0}, 0.25)


class Late:
    """Children come back one by one, in an order of its own, and not at every poll."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.waiting: list[Child] = []
        self.computed: list[int] = []
        self.closed = False

    def start(self, children: Sequence[Child]) -> None:
        assert not self.waiting
        self.waiting = list(children)

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        if not self.waiting or self.random.random() < 0.4:
            return []
        child = self.waiting.pop(int(self.random.integers(len(self.waiting))))
        self.computed.append(child.number)
        return [(child.number, worth(child))]

    def test(self, child: Child, seeds: int, stop: Any) -> Mapping[str, Any]:
        raise AssertionError("a search never asks for a test score")

    def close(self) -> None:
        self.waiting, self.closed = [], True


def make_search(
    folder: Path,
    evaluator: Any,
    notes: list[str] | None = None,
    *,
    batch: int = 4,
    rescore: bool = False,
    rival: bool = True,
) -> ArchitectureSearch:
    """A search in a folder, which may hold a journal."""
    journal = Journal(folder / "journal.jsonl", (notes if notes is not None else []).append)
    return ArchitectureSearch(
        TinySpace(), Climber(1), evaluator, journal, Reward(failure=-1.0), batch=batch,
        rescore=rescore, rival=Climber(2) if rival else None,
    )  # fmt: skip
