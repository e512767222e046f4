"""Spaces whose designs others have trained, all of them: the tables are there to be asked.

nb201    a cell of four nodes, an operation on each of six edges: 15,625 designs, of which
         6,466 are different; NAS-Bench-201, Dong and Yang 2020, arXiv 2001.00326
macro    a chain of eight blocks of three kinds: 6,561 designs, of which 3,969 are different;
         NAS-Bench-Macro, Su et al. 2021, arXiv 2103.11922
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from envs.architecture.space import Choice, Tokens

OPERATIONS = ("none", "skip", "conv1x1", "conv3x3", "avgpool3x3")
"""Of an edge of NAS-Bench-201's cell, in the order of its tokens."""
EDGES = ("0>1", "0>2", "1>2", "0>3", "1>3", "2>3")
"""From node to node, in the order of the tokens. Node 0 is the cell's input, 3 its output."""
BLOCKS = ("identity", "mb3_k3", "mb6_k5")
"""Of NAS-Bench-Macro, in the order of the tokens: nothing, or inverted residuals that widen by 3
or 6, with a kernel of 3 or 5."""
STAGES = ((0, 2), (2, 5), (5, 8))
"""Blocks of NAS-Bench-Macro that work at one resolution; the first of each halves it."""


class Cell201:
    """Six edges between four nodes; a node is the sum of what its edges bring."""

    name = "nb201"
    stages = (Choice("operation", OPERATIONS),) * len(EDGES)
    lengths = (len(EDGES),)

    def legal(self, tokens: Sequence[int]) -> np.ndarray:
        """All operations, always; bool [5]."""
        return np.ones(len(OPERATIONS), dtype=bool)

    def canonical(self, tokens: Sequence[int]) -> Tokens:
        """The first, in the order of tokens, of all cells that have the same formula."""
        first = _first_with_formula()
        return first[formula(tokens)]

    def design(self, tokens: Sequence[int]) -> dict[str, Any]:
        """The operation of each edge, by the edge's name."""
        chosen = [OPERATIONS[token] for token in tokens]
        return {"space": self.name, "edges": dict(zip(EDGES, chosen, strict=True))}


def formula(tokens: Sequence[int]) -> str:
    """What a cell computes from its input "0", as text that isomorphic cells share.

    The benchmark's own rule, by which it counts 6,466 cells: a skip is what it skips from; an edge
    that brings nothing, or starts at the node "#", is "#"; a sum does not depend on the order. "#"
    stays a part of its sum, so "x+#" differs from "x" though the networks are equal.
    """
    nodes = ["0"]
    edges = iter(tokens)
    for node in range(1, 4):
        brought = [_edge(next(edges), nodes[start]) for start in range(node)]
        nodes.append("+".join(sorted(brought)))
    return nodes[-1]


def _edge(token: int, start: str) -> str:
    operation = OPERATIONS[token]
    if operation == "none" or start == "#":
        return "#"
    return start if operation == "skip" else f"({start})@{operation}"


@cache
def _first_with_formula() -> dict[str, Tokens]:
    first: dict[str, Tokens] = {}
    for tokens in product(range(len(OPERATIONS)), repeat=len(EDGES)):
        first.setdefault(formula(tokens), tokens)
    return first


class Chain:
    """Eight blocks one after the other, in three stages of falling resolution."""

    name = "macro"
    stages = (Choice("block", BLOCKS),) * STAGES[-1][1]
    lengths = (STAGES[-1][1],)

    def legal(self, tokens: Sequence[int]) -> np.ndarray:
        """All blocks, always; bool [3]."""
        return np.ones(len(BLOCKS), dtype=bool)

    def canonical(self, tokens: Sequence[int]) -> Tokens:
        """The same chain with the identities of each stage last.

        The first block of a stage stays: it halves the resolution, whatever it is.
        """
        ordered: list[int] = []
        for start, end in STAGES:
            first, *others = tokens[start:end]
            ordered += [first, *sorted(others, key=lambda token: token == 0)]
        return tuple(ordered)

    def design(self, tokens: Sequence[int]) -> dict[str, Any]:
        """The names of the blocks, in order."""
        return {"space": self.name, "blocks": [BLOCKS[token] for token in tokens]}
