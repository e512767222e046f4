"""Designs that differ from another in one decision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.architecture.space import Anchor, Space, Tokens, repaired, stages_of


def alternatives(space: Space, tokens: Sequence[int]) -> list[tuple[int, list[int]]]:
    """What each token could be instead after those before it, for tokens that could be another."""
    found: list[tuple[int, list[int]]] = []
    for at, stage in stages_of(space, len(tokens)):
        if isinstance(stage, Anchor):
            found += [(at + i, [1 - tokens[at + i]]) for i in range(stage.num_tokens)]
            continue
        legal = np.flatnonzero(space.legal(tokens[:at])).tolist()
        others = [token for token in legal if token != tokens[at]]
        if others:
            found.append((at, others))
    return found


def changed(
    space: Space, tokens: Sequence[int], at: int, token: int, random: np.random.Generator
) -> Tokens:
    """The design with one token changed. Those after it stay, unless that makes them illegal."""
    return repaired(space, (*tokens[:at], token, *tokens[at + 1 :]), random)


def mutated(space: Space, tokens: Sequence[int], random: np.random.Generator) -> Tokens:
    """One token changed: which one is uniform over those that can be, and so is what it becomes.

    A design that leaves no choice comes back as it is.
    """
    choices = alternatives(space, tokens)
    if not choices:
        return tuple(tokens)
    at, others = choices[int(random.integers(len(choices)))]
    return changed(space, tokens, at, others[int(random.integers(len(others)))], random)


def neighbours(space: Space, tokens: Sequence[int], random: np.random.Generator) -> list[Tokens]:
    """All designs with one token changed, in random order."""
    found = [
        changed(space, tokens, at, token, random)
        for at, others in alternatives(space, tokens)
        for token in others
    ]
    return [found[i] for i in random.permutation(len(found))]
