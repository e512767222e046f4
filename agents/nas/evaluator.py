"""What scores designs: a table, a training, a proxy. All are asked in the same way.

A child is a design that is being scored. One that fails is data: a result with a status and no
score, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from envs.architecture.space import Tokens

if TYPE_CHECKING:  # it imports torch, which processes of children may not need
    from tasks.problem import Stop

Status = Literal["ok", "diverged", "out of memory", "out of time", "too large", "failed"]


@dataclass(frozen=True)
class Child:
    """A design to be scored."""

    number: int
    """Counted over the whole search, from 0; its random numbers derive from it."""
    tokens: Tokens
    design: Mapping[str, Any]
    """What the tokens mean."""


@dataclass(frozen=True)
class Result:
    """What a child was worth. Holds nothing of a test part."""

    status: Status
    metrics: Mapping[str, float] = field(default_factory=dict)
    """By name: "score" (higher is better: validation accuracy, or minus the loss), "parameters",
    "latency" (seconds), ... Without "score" where the status is not ok."""
    seconds: float = 0.0
    """What scoring took, or would have taken where a table answers."""
    message: str = ""
    """Why it is not ok."""


class Evaluator(Protocol):
    """Scores children, several at once if it can."""

    def start(self, children: Sequence[Child]) -> None:
        """Begin to score these. Called when none is in work."""

    def poll(self, seconds: float) -> list[tuple[int, Result]]:
        """Results that came in, with their children's numbers; waits for one, but not longer."""

    def test(self, child: Child, seeds: int, stop: Stop) -> Mapping[str, Any] | None:
        """The score on the test part, which the search never sees, from scratch with so many
        seeds; None where it was stopped."""

    def close(self) -> None:
        """Give up what is in work."""
