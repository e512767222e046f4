"""Recurrent cells as trees: Zoph and Le 2017, arXiv 1611.01578, section 3.4.

Each node of a binary tree combines two inputs and applies an activation. The leaves combine the
input x_t with the output before, h_{t-1}; the root is h_t. Besides, the memory before, c_{t-1}, is
combined into one node, and the new one, c_t, is taken from a node before its activation:

            h_t
             2              nodes 0, 1, 2:   (combination, activation) each
            / \\             cell inject:     (combination, activation) of c_{t-1}
           0   1            cell indices:    the node that gives c_t; the node that takes c_{t-1}
          / \\ / \\
         x  h x  h          a tree of base 2; the paper's has base 8

With base 8 these are 8^16 * 15^2 = 6.3e16 designs, which is the paper's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.errors import UserError
from envs.architecture.space import Choice, Stage, Tokens

COMBINATIONS = ("add", "multiply")
ACTIVATIONS = ("identity", "tanh", "sigmoid", "relu")
BASES = (2, 4, 8, 16)


class RecurrentCell:
    """Cells of so many leaves; the space "rnn"."""

    name = "rnn"

    def __init__(self, leaves: int = 8) -> None:
        """Raises UserError unless leaves are 2, 4, 8 or 16."""
        if leaves not in BASES:
            raise UserError(f"leaves of space rnn must be one of 2, 4, 8, 16; got {leaves}")
        self.leaves = leaves
        self.nodes = 2 * leaves - 1
        pair = (Choice("combination", COMBINATIONS), Choice("activation", ACTIVATIONS))
        inject = (
            Choice("cell inject combination", COMBINATIONS),
            Choice("cell inject activation", ACTIVATIONS),
        )
        indices = tuple(range(self.nodes))
        ends = (Choice("new cell index", indices), Choice("old cell index", indices))
        self.stages: tuple[Stage, ...] = (*pair * self.nodes, *inject, *ends)
        self.lengths = (len(self.stages),)

    def legal(self, tokens: Sequence[int]) -> np.ndarray:
        """Every option, always: bool [options]."""
        return np.ones(len(self.stages[len(tokens)].options), dtype=np.bool_)

    def canonical(self, tokens: Sequence[int]) -> Tokens:
        """The same tree with the two sides of each node in a fixed order: both combinations are
        commutative, and all leaves have the same inputs. Other ways to compute the same are not
        told."""
        new, old = tokens[-2:]

        def arranged(node: int) -> tuple[tuple[int, ...], list[int]]:
            """What is below, as numbers to compare; its nodes, each before those below it."""
            here = (*tokens[2 * node : 2 * node + 2], int(node == new), int(node == old))
            if node < self.leaves:
                return here, [node]
            sides = sorted(arranged(side) for side in children(node, self.leaves))
            (left, left_nodes), (right, right_nodes) = sides
            return here + left + right, [node, *left_nodes, *right_nodes]

        # Both lists walk through trees of one shape in one order.
        root = self.nodes - 1
        moved = dict(zip(arranged(root)[1], _walk(root, self.leaves), strict=True))
        found = list(tokens)
        for before, after in moved.items():
            found[2 * after : 2 * after + 2] = tokens[2 * before : 2 * before + 2]
        found[-2:] = [moved[new], moved[old]]
        return tuple(found)

    def design(self, tokens: Sequence[int]) -> dict[str, Any]:
        """Leaves first, the root last; "inputs" of a node are nodes, or x and h."""
        nodes = []
        for node in range(self.nodes):
            inputs = ["x", "h"] if node < self.leaves else list(children(node, self.leaves))
            nodes.append(self._pair(tokens, 2 * node) | {"inputs": inputs})
        new, old = tokens[-2:]
        inject = self._pair(tokens, 2 * self.nodes) | {"node": old}
        return {"space": self.name, "nodes": nodes, "inject": inject, "cell": new}

    def _pair(self, tokens: Sequence[int], at: int) -> dict[str, Any]:
        return {
            "combination": COMBINATIONS[tokens[at]],
            "activation": ACTIVATIONS[tokens[at + 1]],
        }


def children(node: int, leaves: int) -> tuple[int, int]:
    """The two nodes below: nodes are counted row by row from the leaves to the root."""
    return 2 * (node - leaves), 2 * (node - leaves) + 1


def _walk(node: int, leaves: int) -> list[int]:
    """A node, all below its left side, all below its right side."""
    if node < leaves:
        return [node]
    left, right = children(node, leaves)
    return [node, *_walk(left, leaves), *_walk(right, leaves)]
