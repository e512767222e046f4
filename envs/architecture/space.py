"""A space of designs: what is decided about a network, one decision after the other.

A design is a row of tokens. A token is the number of the option taken, and the decisions come in a
fixed order, so a design of the space below is three tokens:

    decision        filter height     filters      is layer 1 an input of layer 2?
    options         1 3 5 7           24 36 48     no yes
    token           2 (a height of 5) 0 (24)       1 (yes)

A controller makes decisions that belong to one ``Stage`` at once: a choice among options, or, at an
anchor point, a yes or no to each layer before (Zoph and Le 2017, section 3.3).

What a design means is plain JSON (``Space.design``), of which `networks/designed` makes a network.

Legend: T tokens of a design.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Tokens = tuple[int, ...]
"""A design, or its beginning."""


@dataclass(frozen=True)
class Choice:
    """A decision among options."""

    name: str
    """Without the layer's number, so that decisions of a kind share an embedding."""
    options: tuple[Any, ...]
    """What the tokens 0, 1, ... stand for, as JSON holds it."""

    num_tokens = 1
    """It fills in a design."""


@dataclass(frozen=True)
class Anchor:
    """Which of the layers before are inputs: a yes (1) or no (0) to each, oldest first."""

    name: str
    num_tokens: int
    """Layers before; at least 1."""

    options = (False, True)
    """What the tokens stand for."""


Stage = Choice | Anchor
"""What a controller decides in one step."""


class Space(Protocol):
    """All designs that may be had. Neither torch nor networks are needed to walk in it."""

    name: str
    """By which `envs.architecture.spaces.make_space` knows it."""
    stages: tuple[Stage, ...]
    """All decisions, in order."""
    lengths: tuple[int, ...]
    """Numbers of tokens after which a design is whole, rising; the last one is that of all stages.
    More than one where depth grows with the search (Zoph and Le 2017, section 4.1)."""

    def legal(self, tokens: Sequence[int]) -> np.ndarray:
        """Options of the ``Choice`` that comes after these tokens, bool [options]; at least one. At
        an anchor all answers are allowed, always."""

    def canonical(self, tokens: Sequence[int]) -> Tokens:
        """The one design that stands for all that mean the same network; itself where the space
        does not tell."""

    def design(self, tokens: Sequence[int]) -> dict[str, Any]:
        """What a whole design means, as JSON; "space" names this space."""


def stages_of(space: Space, length: int) -> Iterator[tuple[int, Stage]]:
    """The stages of designs of so many tokens, each with the number of tokens before it."""
    at = 0
    for stage in space.stages:
        if at >= length:
            return
        yield at, stage
        at += stage.num_tokens


def check(space: Space, tokens: Sequence[int]) -> None:
    """Raise ValueError for a design that is not one of the space, and say why."""
    if len(tokens) not in space.lengths:
        raise ValueError(f"{space.name} needs {space.lengths} tokens, got {len(tokens)}")
    for at, stage in stages_of(space, len(tokens)):
        for i in range(at, at + stage.num_tokens):
            if not 0 <= tokens[i] < len(stage.options):
                raise ValueError(
                    f"token {i} of {space.name} ({stage.name}) must be under "
                    f"{len(stage.options)}, got {tokens[i]}"
                )
        if isinstance(stage, Choice) and not space.legal(tokens[:at])[tokens[at]]:
            chosen = stage.options[tokens[at]]
            raise ValueError(f"token {at} of {space.name}: {stage.name} cannot be {chosen} here")


def sample(space: Space, random: np.random.Generator, length: int | None = None) -> Tokens:
    """A design with every decision uniform over its legal options."""
    tokens: list[int] = []
    for _, stage in stages_of(space, length or space.lengths[-1]):
        if isinstance(stage, Anchor):
            tokens += random.integers(2, size=stage.num_tokens).tolist()
        else:
            tokens.append(_drawn(space.legal(tokens), random))
    return tuple(tokens)


def repaired(space: Space, tokens: Sequence[int], random: np.random.Generator) -> Tokens:
    """The same design, with tokens that are not legal after those before them drawn anew."""
    mended: list[int] = list(tokens)
    for at, stage in stages_of(space, len(tokens)):
        if isinstance(stage, Choice):
            legal = space.legal(mended[:at])
            if not legal[mended[at]]:
                mended[at] = _drawn(legal, random)
    return tuple(mended)


def _drawn(legal: np.ndarray, random: np.random.Generator) -> int:
    """A legal option; `random.choice` takes five times as long."""
    options = legal.nonzero()[0]
    return int(options[random.integers(len(options))])


def key(design: Mapping[str, Any]) -> str:
    """A short name that equal designs share, on every machine: 12 hexadecimal digits."""
    text = json.dumps(design, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
